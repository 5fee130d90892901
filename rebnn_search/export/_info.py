"""What a model file says of itself: enough to build the network again and to feed it as its validation split was fed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import torch
from pydantic import Field, SerializerFunctionWrapHandler, ValidationError, model_serializer, model_validator
from torch import Tensor

from rebnn_search.config import Document, Strict, UserError, explain, fail
from rebnn_search.training import Recipe
from rebnn_search.training.calibration import COLDEST, HOTTEST
from rebnn_search.training.data import Data, ResidentData
from rebnn_search.training.data.normalisation import normalise
from rebnn_search.training.data.table_data import TableData
from rebnn_search.training.data.tables import Preprocessing

WHITE = {"digits": 16.0}
"""White in the units of datasets whose bytes are not the usual 0 to 255."""

MOST_SIDE = 2**13
"""Of an image, in pixels."""

Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class ModelInfo(Strict):
    """What a trained network was trained as and on.

    Attributes:
        recipe: The recipe as plain data; its ``network`` alone is needed to build the network.
        classes: Names of the classes, by logit.
        channels: Channels of the images.
        image_size: Side of the (square) images; 1 for the rows of a table, whose features are the channels.
        mean: Of each channel, in the units of the training data.
        std: Of each channel, likewise.
        white: What 255 of an image file is in those units; None where training saw no bytes, and image files mean nothing.
        crop_pct: Share of an image file's shorter side that is kept: it becomes ``image_size / crop_pct``, the rest is cut off.
        table: How a table's columns become the features; None where it was no table.
        temperature: Probabilities are the softmax of the logits divided by it (`rebnn_search.training.calibration`).
    """

    recipe: dict[str, Any]
    classes: Annotated[list[str], Field(min_length=1)]
    channels: Annotated[int, Field(ge=1)]
    image_size: Annotated[int, Field(ge=1, le=MOST_SIDE)]
    mean: list[Finite]
    std: list[Positive]
    white: Positive | None = 255.0
    crop_pct: Annotated[float, Field(gt=0, le=1)] = 1.0
    table: Preprocessing | None = None
    temperature: Annotated[float, Field(ge=COLDEST, le=HOTTEST)] = 1.0

    @model_serializer(mode="wrap")
    def _as_files_have_it(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Files without one of these were written before there was a choice, and their checksum covers the header.
        found: dict[str, Any] = plain(self)
        defaults = (("crop_pct", 1.0), ("table", None), ("temperature", 1.0))
        left_out = {name for name, default in defaults if getattr(self, name) == default}
        return {name: value for name, value in found.items() if name not in left_out}

    @model_validator(mode="after")
    def _fits(self) -> ModelInfo:
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != self.channels:
                fail("model", (name,), f"needs a value for each of the {self.channels} channels", values)
        if self.table is not None and (self.table.width, 1) != (self.channels, self.image_size):
            fail("model", ("table",), f"makes {self.table.width} features, the network reads {self.channels}", self.table)
        if self.image_size / self.crop_pct > MOST_SIDE:
            fail("model", ("crop_pct",), f"would have images scaled to more than {MOST_SIDE:,} pixels", self.crop_pct)
        _check_data(self.recipe.get("data", {}))
        return self

    def normalised(self, raw: Tensor) -> Tensor:
        """Images (N, C, H, W) in the training data's units, as `rebnn_search.training.data.Data.batches` normalises them."""
        return normalise(raw, *self.statistics())

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation (1, C, 1, 1), in the type that training computed with: float32 of bytes, else float64."""
        dtype = torch.float64 if self.white is None else torch.float32
        mean, std = (torch.tensor(values, dtype=dtype).view(1, -1, 1, 1) for values in (self.mean, self.std))
        return mean, std


def _check_data(data: Any) -> None:
    """Check what a model's dataset is asked for: its name, and of a table's columns their names."""
    if not isinstance(data, Mapping) or not isinstance(data.get("name", ""), str):
        fail("model", ("recipe", "data"), "must be a mapping with the name of a dataset", data)
    if data.get("name") == "csv":
        for key, value in (("label", data.get("label")), ("features", data.get("features"))):
            names = [value] if key == "label" else value
            if value is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
                fail("model", ("recipe", "data", key), "must name columns", value)


def as_trained(info: ModelInfo, kept: object, source: str) -> ModelInfo:
    """The info with what a checkpoint kept of its data, which may have changed since; as it is where an earlier version kept nothing.

    Raises:
        UserError: If that is nothing that a model file takes.
    """
    if kept is None:
        return info
    try:
        if not isinstance(kept, Mapping) or not kept.keys() <= {"classes", "mean", "std", "table"}:
            raise UserError(f"{source}: is no checkpoint of a trial: what it says of its data cannot be read")
        return ModelInfo.model_validate({**info.model_dump(), **kept})
    except ValidationError as error:
        raise UserError(explain(error, Document(source, {}))) from None


def describe(recipe: Recipe | Mapping[str, Any], data: Data) -> ModelInfo:
    """The info of a network trained by a recipe (or any mapping with its ``network``) on opened data.

    Raises:
        UserError: If it is nothing that a model file takes: a standard deviation that is no positive number, too large images.
    """
    plain = recipe.dump() if isinstance(recipe, Recipe) else dict(recipe)
    dataset = plain.get("data")
    name = dataset.get("name") if isinstance(dataset, Mapping) else None
    # What is streamed is read from image files.
    in_bytes = not isinstance(data, ResidentData) or data.samples("train").images.dtype == torch.uint8
    try:
        return ModelInfo(
            recipe=plain, classes=data.classes, channels=data.channels, image_size=data.image_size,
            mean=data.mean.flatten().tolist(), std=data.std.flatten().tolist(),
            white=WHITE.get(str(name), 255.0) if in_bytes else None, crop_pct=data.crop_pct,
            table=data.fitted.preprocessing if isinstance(data, TableData) else None,
        )  # fmt: skip
    except ValidationError as error:
        raise UserError(explain(error, Document("the trained network", {}))) from None
