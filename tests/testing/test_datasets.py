"""Every dataset keeps to what its kind asks, on a few samples made here; a new one is asked for by being registered."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rebnn_search import testing
from rebnn_search.training.data import DATASETS
from rebnn_search.training.vision import torchvision_module

CLASSES, EACH = ["ant", "bee", "cat"], 12


def pixels(count: int, side: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(count).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def digits(folder: Path) -> dict[str, Any]:
    return {}


def arrays(folder: Path) -> dict[str, Any]:
    labels = np.arange(len(CLASSES) * EACH) % len(CLASSES)
    np.savez(folder / "samples.npz", X=pixels(len(labels), 8).transpose(0, 3, 1, 2), y=labels)
    return {"path": str(folder / "samples.npz")}


def csv(folder: Path) -> dict[str, Any]:
    rows = [f"{number * 0.37:.2f},{'red' if number % 5 else ''},{CLASSES[number % 3]}" for number in range(len(CLASSES) * EACH)]
    (folder / "samples.csv").write_text("\n".join(["length,colour,kind", *rows]), encoding="utf-8")
    return {"path": str(folder / "samples.csv"), "label": "kind"}


def pictures(folder: Path, splits: Mapping[str, int], side: int) -> dict[str, Any]:
    for split, count in splits.items():
        images = iter(pixels(len(CLASSES) * count, side))
        for name in CLASSES:
            (folder / split / name).mkdir(parents=True)
            for number in range(count):
                Image.fromarray(next(images)).save(folder / split / name / f"{number}.png")
    return {"root": str(folder), "image_size": 8, "workers": 0}


def image_folder(folder: Path) -> dict[str, Any]:
    return pictures(folder, {"train": EACH, "test": 4}, 12)


def imagenet(folder: Path) -> dict[str, Any]:
    return {**pictures(folder, {"train": EACH, "val": 4}, 12), "validation": 0.25}


def cifar(folder: Path, files: Sequence[str], meta: str, label: str, names: str, classes: int) -> dict[str, Any]:
    folder.mkdir()
    for file in files:
        labels = [number % classes for number in range(2 * classes)]
        data = pixels(len(labels), 32).reshape(len(labels), -1)
        (folder / file).write_bytes(pickle.dumps({"data": data, label: labels}))
    (folder / meta).write_bytes(pickle.dumps({names: [f"class {number}" for number in range(classes)]}))
    return {"root": str(folder.parent), "validation": 0.5}


def cifar10(folder: Path) -> dict[str, Any]:
    batches = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
    return cifar(folder / "cifar-10-batches-py", batches, "batches.meta", "labels", "label_names", 10)


def cifar100(folder: Path) -> dict[str, Any]:
    return cifar(folder / "cifar-100-python", ["train", "test"], "meta", "fine_labels", "fine_label_names", 100)


MAKERS: dict[str, Callable[[Path], dict[str, Any]]] = {
    make.__name__: make for make in (arrays, cifar10, cifar100, csv, digits, image_folder, imagenet)
}
"""What makes a small one of each, and returns its options."""


@pytest.mark.parametrize("check", testing.DATASET_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", sorted(DATASETS))
def test_dataset(name: str, check: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    sound = torchvision_module("datasets").cifar
    monkeypatch.setattr(sound, "check_integrity", lambda path, md5=None: Path(path).exists())
    assert name in MAKERS, "make a small one here"
    check(DATASETS[name](**MAKERS[name](tmp_path)).open)
