"""Networks of rising size, the data as each reads them, and what training one costs here."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from rebnn_search.auto._look import Look
from rebnn_search.base.metrics import IMAGES_PER_SECOND
from rebnn_search.training import Recipe, Trainer
from rebnn_search.training.data import Data

STEPS, FEWER_STEPS, FEWEST_STEPS = 1500, 500, 100
"""Optimizer steps that a training should have, must have to be worth a search, and must have."""
TABLE_EPOCHS = 30
"""Of a table's training: each is several passes over the rows."""
PROBE_STEPS = 5


@dataclass(frozen=True)
class Rung:
    """A network of a ladder, smallest first, with what it was measured to cost.

    Attributes:
        network: The recipe's ``network``.
        image_size: Of the images it is given.
        epoch_seconds: Of one epoch, training and validation.
        open_seconds: Of opening the data, once in every trial.
    """

    network: dict[str, Any]
    image_size: int
    epoch_seconds: float
    open_seconds: float

    def training(self, epochs: int) -> float:
        """Seconds of a training alone on the machine."""
        return self.open_seconds + epochs * self.epoch_seconds


@dataclass(frozen=True)
class OpenedData:
    """Data opened for images of a size, and the seconds that took."""

    data: Data
    image_size: int
    seconds: float


def open_smallest(look: Look) -> OpenedData:
    """Open the data as the smallest network reads them.

    Raises:
        UserError: If they cannot be read, or are unfit.
    """
    return open_for(look, next(ladder(look))[1])


def augmentation(size: int) -> Any:
    """Of images of a size: crops of padded ones."""
    from rebnn_search.config import Component
    from rebnn_search.training.data import AUGMENTATIONS

    return Component("name", "crop_flip", {"padding": max(1, size // 8), "flip": False}, AUGMENTATIONS["crop_flip"])


def ladder(look: Look) -> Iterator[tuple[dict[str, Any], int]]:
    """Networks and image sizes, smallest first."""
    if not look.images:
        for width in (32, 64, 128):
            yield {"name": "mlp", "width": width, "depth": 2}, 1
        return
    fixed_size = look.data["name"] != "image_folder"
    sizes = [look.side] if fixed_size else sorted({min(look.side, size) for size in (16, 32, 64)})
    for size in sizes:
        larger = [(16, 1), (32, 1), (32, 2)] if size == sizes[-1] else [(16, 1)]
        for width, depth in ([(8, 1)] if size == sizes[0] else []) + larger:
            yield {"name": "digits_resnet", "width": width, "depth": depth}, size


def measure(look: Look, network: dict[str, Any], opened: OpenedData) -> Rung:
    """Train a few steps, validate, and say what an epoch costs."""
    data, size, steps = opened.data, opened.image_size, steps_of(opened.data)
    recipe = recipe_for(look, network, size, data, epochs=2) | {"reports_per_epoch": max(1, steps // PROBE_STEPS)}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        trainer = Trainer(Recipe.model_validate(recipe), data=data)
        trainer.next_report()  # the first is slower than those to come
        start = time.perf_counter()
        report = trainer.next_report()
        wall = time.perf_counter() - start
        trainer.close()
    finally:
        torch.set_num_threads(threads)
    training = report.metrics[IMAGES_PER_SECOND]
    probe = -(-steps // recipe["reports_per_epoch"]) * recipe["batch_size"] / training
    return Rung(network, size, steps * recipe["batch_size"] / training + max(0.0, wall - probe), opened.seconds)


def recipe_for(look: Look, network: dict[str, Any], size: int, data: Data, epochs: int) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if look.data["name"] == "image_folder":
        options["image_size"] = size
    if look.images:
        options["augment"] = augmentation(size).dump()
    elif (repeat := _repeat(look, len(data.labels("train")))) > 1:
        options["repeat"] = repeat
    return {
        "data": {**look.data, **options},
        "network": network,
        "gamma": {"strategy": "flip_ratio"},
        "optimizer": {"name": "adamw", "lr": 1e-2 if look.images else 3e-3, "weight_decay": 1e-3},
        "epochs": epochs,
        "batch_size": batch_size_for(data),
        "reports_per_epoch": 1,
    }


def steps_of(data: Data) -> int:
    """Optimizer steps of an epoch."""
    return max(1, data.size("train") // batch_size_for(data))


def batch_size_for(data: Data) -> int:
    count = len(data.labels("train"))
    return min(_fitting(count), 1 << (count.bit_length() - 1))


def _fitting(count: int) -> int:
    """Samples of a batch, of so many in all."""
    return 32 if count < 1000 else 64 if count < 20_000 else 128


def _repeat(look: Look, count: int) -> int:
    """Passes over a table's rows that make an epoch: such that so many epochs are enough steps."""
    if look.images:
        return 1
    return max(1, min(20, round(STEPS / TABLE_EPOCHS / max(1, count // _fitting(count)))))


def open_for(look: Look, size: int) -> OpenedData:
    """Open the data as networks of images of a size read them."""
    start = time.monotonic()
    if look.data["name"] == "image_folder":
        data = look.open(image_size=size, augment=augmentation(size))
    else:
        data = look.open()
        if (repeat := _repeat(look, len(data.labels("train")))) > 1:
            data = look.open(repeat=repeat)
    return OpenedData(data, size, time.monotonic() - start)
