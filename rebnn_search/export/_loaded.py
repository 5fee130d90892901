"""A model file of any format, ready to classify."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from rebnn_search.config import UserError
from rebnn_search.export._info import ModelInfo
from rebnn_search.export._inputs import features_of, grouped, holds_many, images_of, knows_columns, read_array, read_pictures
from rebnn_search.training.data.tables import table_of

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray[Any, Any]
BATCH = 256
MOST_NUMBERS = 2**26
"""In a batch of images: large ones are computed a few at a time."""


class LoadedModel:
    """A trained network that classifies images given as its training data was.

    Args:
        info: What it was trained as and on.
        compute: From normalised images (N, C, H, W) float32 to logits (N, classes).
        network: The module behind it, in evaluation mode; None of an ONNX file.
        engine: What computes: ``torch``, ``openvino`` or ``onnxruntime``.
        reason: Why that, where another was asked for.
        sums: What binary layers are computed in: ``float32``, or ``bits`` or ``int8``, exactly.
    """

    def __init__(
        self, info: ModelInfo, compute: Callable[[Tensor], Tensor], network: nn.Module | None = None, *, engine: str = "torch",
        reason: str | None = None, sums: str = "float32",
    ) -> None:  # fmt: skip
        self.info, self.network, self.engine, self.reason, self.sums = info, network, engine, reason, sums
        self._compute = compute

    @property
    def classes(self) -> list[str]:
        """Names of the classes, by column of what `predict_proba` returns."""
        return self.info.classes

    @property
    def knows_columns(self) -> bool:
        """Whether it was trained on a table, whose columns it finds by name."""
        return knows_columns(self.info)

    def logits(self, images: Array | Tensor) -> Tensor:
        """The logits (n, classes) of images, not divided by the temperature: arguments and errors as `predict_proba`."""
        return self._logits(images_of(images, self.info, "the images"))

    def predict_proba(self, images: Array | Tensor | pd.DataFrame) -> Array:
        """The probabilities (n, classes) float32 of images, or of a table's rows.

        Args:
            images: (n, channels, height, width), (n, height, width) of one channel or (n, features), in the units of the training
                data and not normalised. Of a model that was trained on a table a frame: see `predict_frame`.

        Raises:
            UserError: If they are not of the shape that the network was trained on, or hold what is no finite number, or the
                logits would be none.
        """
        if self.knows_columns and hasattr(images, "columns"):
            return self.predict_frame(images)
        return self._probabilities(images_of(images, self.info, "the images"))

    def predict_frame(self, frame: pd.DataFrame) -> Array:
        """The probabilities (n, classes) float32 of a table's rows. Columns are found by name, and made features of as in training.

        Raises:
            UserError: If the model was not trained on a table, or a column is missing or holds what it cannot.
        """
        if not self.knows_columns:
            raise UserError("the frame: the model was not trained on a table, whose columns it would know")
        if not hasattr(frame, "columns"):
            raise UserError(f"the frame: must be a DataFrame, not {type(frame).__name__}: of one row, frame.iloc[[0]]")
        features = features_of(table_of(frame, "the frame"), self.info, "the frame")
        return self._probabilities(images_of(features, self.info, "the frame"))

    def predict_files(self, files: Iterable[Path], damaged: list[Path] | None = None) -> Iterator[tuple[str, Array]]:
        """The name and the probabilities (classes) of each image of the files, in their order.

        Image files are read as those of the validation split, ``.npy`` and ``.npz`` files as `predict_proba`'s arrays, whose images
        are called ``FILE[index]``. Image files that cannot be decoded go to ``damaged``, where that is given, and are left out.

        Raises:
            UserError: If a file cannot be read, or holds what the network was not trained on; the message names it.
        """
        for group in grouped(files, self._batch):
            if holds_many(group[0]):
                raw = read_array(group[0], self.info)
                names = [f"{group[0]}[{index}]" for index in range(len(raw))]
            else:
                missing: list[Path] | None = None if damaged is None else []
                raw = read_pictures(group, self.info, missing)
                names = [str(file) for file in group if file not in (missing or ())]
                if damaged is not None:
                    damaged += missing or ()
            yield from zip(names, self._probabilities(raw), strict=True)

    def _probabilities(self, raw: Tensor) -> Array:
        logits = self._logits(raw)
        if self.info.temperature != 1:  # the largest stays 0: what is divided cannot become endless
            logits = (logits - logits.amax(1, keepdim=True)) / self.info.temperature
        found: Array = logits.softmax(1).numpy()
        return found

    @property
    def _batch(self) -> int:
        return min(BATCH, max(1, MOST_NUMBERS // (self.info.channels * self.info.image_size**2)))

    @torch.no_grad()
    def _logits(self, raw: Tensor) -> Tensor:
        if not len(raw):
            return torch.empty(0, len(self.classes))
        return torch.cat([self._computed(part) for part in torch.split(raw, self._batch)])

    def _computed(self, raw: Tensor) -> Tensor:
        images = self.info.normalised(raw)
        logits = self._compute(images)
        if logits.shape != (len(raw), len(self.classes)):
            raise UserError(f"the model gives logits of shape {tuple(logits.shape)}, not ({len(raw)}, {len(self.classes)})")
        # A sign makes a number of anything, so what goes in counts too.
        if not images.isfinite().all():
            raise UserError("a value is too far from those that the network was trained on: in float32 it is infinite")
        if not logits.isfinite().all():
            raise UserError("the model's logits are no finite numbers: its weights are too large")
        return logits
