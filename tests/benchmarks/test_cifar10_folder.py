"""CIFAR-10's folder: which picture goes where, from a tar of pictures and from torchvision's files."""

from __future__ import annotations

import io
import pickle
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rebnn_search.base.errors import UserError
from rebnn_search.training.data import ImageFolder
from rebnn_search.training.vision import torchvision_module

BENCHMARKS = str(Path(__file__).parents[2] / "benchmarks")
CLASSES = ("cat", "dog")


@pytest.fixture(scope="module", autouse=True)
def importable() -> Iterator[None]:
    sys.path.insert(0, BENCHMARKS)
    yield
    sys.path.remove(BENCHMARKS)


def picture(value: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((32, 32, 3), value, dtype=np.uint8)).save(file, format="PNG")
    return file.getvalue()


def archive(path: Path, names: list[str]) -> Path:
    with tarfile.open(path, "w:xz") as tar:
        for index, name in enumerate(names):
            content = picture(index)
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture
def tar(tmp_path: Path) -> Path:
    """Eight training pictures of each class, in disorder, and three for the test."""
    names = [f"train/{name}/{n:04d}.png" for n in (5, 2, 7, 0, 1, 6, 3, 4) for name in CLASSES]
    return archive(tmp_path / "cifar.tar.xz", [*names, *(f"./test/{name}/{n:04d}.png" for n in range(3) for name in CLASSES)])


def found(folder: Path) -> dict[str, list[str]]:
    return {
        split: sorted(str(path.relative_to(folder / split)) for path in (folder / split).rglob("*.png"))
        for split in ("train", "val", "test")
    }


def test_the_last_by_name_are_for_validation_and_the_first_of_the_others_for_training(tar: Path, tmp_path: Path) -> None:
    from cifar10_folder import make_folder

    whole, subset = tmp_path / "whole", tmp_path / "subset"
    assert make_folder(tar, whole, validation=2) == {"train": 12, "val": 4, "test": 6}
    assert make_folder(tar, subset, per_class=3, validation=2) == {"train": 6, "val": 4, "test": 6}
    assert found(whole)["train"] == [f"{name}/{n:04d}.png" for name in CLASSES for n in range(6)]
    assert found(whole)["val"] == found(subset)["val"] == [f"{name}/{n:04d}.png" for name in CLASSES for n in (6, 7)]
    assert found(subset)["train"] == [f"{name}/{n:04d}.png" for name in CLASSES for n in range(3)]
    assert found(whole)["test"] == found(subset)["test"]
    data = ImageFolder(root=str(whole), image_size=16).open()
    assert [data.size(split) for split in ("train", "validation", "test")] == [12, 4, 6]  # type: ignore[arg-type]


def test_nothing_is_left_where_it_fails(tar: Path, tmp_path: Path) -> None:
    from cifar10_folder import make_folder

    with pytest.raises(UserError, match=r"class cat has 8 training pictures, and 9 are asked for"):
        make_folder(tar, tmp_path / "out", per_class=7, validation=2)
    bad = archive(tmp_path / "bad.tar.xz", ["train/cat/0.png", "elsewhere/0.png"])
    with pytest.raises(UserError, match=r"holds elsewhere/0.png: expected train/CLASS/PICTURE"):
        make_folder(bad, tmp_path / "out")
    (tmp_path / "text").write_text("no archive")
    with pytest.raises(UserError, match="cannot be read as an archive"):
        make_folder(tmp_path / "text", tmp_path / "out")
    (tmp_path / "there").mkdir()
    with pytest.raises(UserError, match="is there already"):
        make_folder(tar, tmp_path / "there")
    with pytest.raises(UserError, match="holds no sound cifar-10-batches-py"):
        make_folder(tmp_path / "there", tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.tar.xz", "cifar.tar.xz", "text", "there"]


def test_torchvision_s_files_become_the_same_kind_of_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cifar10_folder import make_folder

    monkeypatch.setattr(
        torchvision_module("datasets.cifar"), "check_integrity", lambda *args: True
    )  # these few pictures are not the published file
    pixels = np.arange(4 * 3072).reshape(4, 3072).astype(np.uint8)
    batches: dict[str, Any] = {f"data_batch_{n}": {"data": pixels, "labels": [0, 1, 0, 1]} for n in range(1, 6)}
    batches |= {"test_batch": {"data": pixels, "labels": [0, 1, 0, 1]}, "batches.meta": {"label_names": list(CLASSES)}}
    (tmp_path / "source" / "cifar-10-batches-py").mkdir(parents=True)
    for name, content in batches.items():
        (tmp_path / "source" / "cifar-10-batches-py" / name).write_bytes(pickle.dumps(content))
    assert make_folder(tmp_path / "source", tmp_path / "out", validation=4) == {"train": 12, "val": 8, "test": 4}
    kept = np.asarray(Image.open(tmp_path / "out" / "train" / "dog" / "00001.png"))
    assert (kept == pixels[1].reshape(3, 32, 32).transpose(1, 2, 0)).all()
