"""What data cost a training: images/s with all of them beside the same training on one batch again and again.

    python benchmarks/data_rate.py [--network resnet20 ...] [--images 2048] [--turns 5] [--compile] [--json]

JPEG pictures of 40 × 32 are made in a folder, and read through ``image_folder``: kept decoded (``resident``), the same cropped at
random as on ImageNet, and streamed by two worker processes; beside them torchvision's ``ImageFolder`` with a ``DataLoader`` of two
workers. The trainings take turns in one process, a report each, one thread; the ratio is that of a contender's images/s to those
without data in the same turn. Before that the folder is opened with an empty cache of decoded pictures, and once more.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader

from rebnn_search.training import Recipe, Trainer
from rebnn_search.training.data import Data, Split
from rebnn_search.training.vision import torchvision_module

datasets, transforms = torchvision_module("datasets"), torchvision_module("transforms")

NETWORKS: dict[str, tuple[dict[str, Any], int, int]] = {
    "mlp": ({}, 8, 128), "digits_resnet": ({}, 8, 128), "resnet20": ({}, 32, 128), "resnet18": ({"stem": "cifar"}, 32, 32),
}  # fmt: skip
"""Options, side of the images and batch by name."""
CONTENDERS: dict[str, dict[str, Any]] = {
    "no data": {}, "resident": {}, "resident, random crops": {"augment": "imagenet"}, "streamed": {"resident": False},
    "torchvision": {},
}  # fmt: skip
CLASSES = 10
Batch = tuple[Tensor, Tensor, Tensor | None]


class Replaced(ABC):
    """Data whose training batches come from elsewhere; everything else is theirs."""

    def __init__(self, data: Data) -> None:
        self._data = data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._data, name)

    def weighted_batches(self, split: Split, **options: Any) -> Iterator[Batch]:
        """Yield an epoch."""
        return self.epoch(options) if split == "train" else self._data.weighted_batches(split, **options)

    @abstractmethod
    def epoch(self, options: dict[str, Any]) -> Iterator[Batch]:
        """Yield the training batches."""


class OneBatch(Replaced):
    """All training batches are the first one, at no cost."""

    def epoch(self, options: dict[str, Any]) -> Iterator[Batch]:
        """Yield it as often as there are batches."""
        first = next(iter(self._data.weighted_batches("train", **options)))
        yield from itertools.repeat(first, self._data.size("train") // options["batch_size"])


class Torchvision(Replaced):
    """Training batches are read and augmented by torchvision, as its documentation has it."""

    def __init__(self, data: Data, folder: Path, batch: int) -> None:
        super().__init__(data)
        steps = [
            transforms.Resize(data.image_size), transforms.CenterCrop(data.image_size),
            transforms.RandomCrop(data.image_size, padding=4), transforms.RandomHorizontalFlip(), transforms.ToTensor(),
            transforms.Normalize((data.mean.flatten() / 255).tolist(), (data.std.flatten() / 255).tolist()),
        ]  # fmt: skip
        images = datasets.ImageFolder(folder / "train", transforms.Compose(steps))
        self._loader = DataLoader(images, batch, shuffle=True, drop_last=True, num_workers=2, persistent_workers=True)

    def epoch(self, options: dict[str, Any]) -> Iterator[Batch]:
        """Yield what the loader reads."""
        return ((images, labels, None) for images, labels in self._loader)


def make_pictures(folder: Path, images: int) -> None:
    """Write so many pictures to train on, and one of each class to validate on and to test."""
    generator = np.random.default_rng(0)
    for split, count in (("train", images), ("val", CLASSES), ("test", CLASSES)):
        for index in range(count):
            place = folder / split / f"class {index % CLASSES}"
            place.mkdir(parents=True, exist_ok=True)
            coarse = Image.fromarray(generator.integers(256, size=(6, 8, 3), dtype=np.uint8))
            coarse.resize((40, 32), Image.Resampling.BICUBIC).save(place / f"{index}.jpg", quality=90)


def recipe(network: str, folder: Path, contender: str, compiled: bool) -> Recipe:
    """A training of many epochs, a report each."""
    options, side, batch = NETWORKS[network]
    return Recipe.model_validate({
        "data": {"name": "image_folder", "root": str(folder), "image_size": side, **CONTENDERS[contender]},
        "network": {"name": network, **options}, "gamma": {"strategy": "flip_ratio"}, "optimizer": {"name": "adam", "lr": 1e-3},
        "epochs": 1000, "batch_size": batch, "reports_per_epoch": 1,
        "precision": {"dtype": "float32", "products": "float32", "compile": compiled, "channels_last": False},
    })  # fmt: skip


def opening(folder: Path) -> tuple[float, float]:
    """Seconds to open the folder with an empty cache and with what that left there."""
    seconds = []
    for _ in range(2):
        begun = time.perf_counter()
        recipe("resnet20", folder, "resident", False).data.build().open()
        seconds.append(time.perf_counter() - begun)
    return seconds[0], seconds[1]


def measure(network: str, folder: Path, turns: int, compiled: bool) -> dict[str, list[float]]:
    """Images/s of each contender in each turn."""
    trainers = {}
    for contender in CONTENDERS:
        made = recipe(network, folder, contender, compiled)
        data: Any = made.data.build().open()
        if contender == "no data":
            data = OneBatch(data)
        elif contender == "torchvision":
            data = Torchvision(data, folder, made.batch_size)
        trainers[contender] = Trainer(made, data=data)
    for _ in range(2):  # compiling; workers start
        for trainer in trainers.values():
            trainer.next_report()
    rates: dict[str, list[float]] = {contender: [] for contender in CONTENDERS}
    for turn in range(turns):
        for contender in CONTENDERS if turn % 2 else reversed(CONTENDERS):
            rates[contender].append(trainers[contender].next_report().metrics["train/images_per_second"])
    return rates


def main() -> None:
    """Measure and print."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--network", nargs="+", choices=NETWORKS, default=["resnet20", "digits_resnet", "mlp"])
    p.add_argument("--images", type=int, default=2048, help="to train on")
    p.add_argument("--turns", type=int, default=5)
    p.add_argument("--compile", action="store_true", help="with networks compiled, whose data have less time")
    p.add_argument("--json", action="store_true")
    args = p.parse_args()
    torch.set_num_threads(1)
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) / "pictures"
        os.environ["REBNN_SEARCH_CACHE"] = str(Path(made) / "cache")
        make_pictures(folder, args.images)
        found["opening"] = opening(folder)
        out = sys.stderr if args.json else sys.stdout
        print(f"opening {args.images} pictures: {found['opening'][0]:.2f} s, then {found['opening'][1]:.2f} s\n", file=out)
        print("| network | data | images/s | of those without data (least to most) |\n|---|---|---|---|", file=out, flush=True)
        for network in args.network:
            rates = found[network] = measure(network, folder, args.turns, args.compile)
            for contender, own in rates.items():
                ratios = [rate / bare for rate, bare in zip(own, rates["no data"], strict=True)]
                spread = f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
                print(f"| `{network}` | {contender} | {statistics.median(own):.0f} | {spread} |", file=out, flush=True)
    if args.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
