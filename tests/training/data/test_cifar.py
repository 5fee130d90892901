"""CIFAR through torchvision, whose place of the data is a stand-in: nothing is fetched here."""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from filelock import FileLock, Timeout

from rebnn_search.config import UserError
from rebnn_search.training.data import Cifar10
from rebnn_search.training.vision import torchvision_module


class Fetched:
    """As torchvision's class: fails where there is nothing, and fetches it if it is asked to."""

    classes = ("a", "b")
    held: ClassVar[list[bool]] = []

    def __init__(self, root: Path, *, train: bool, download: bool) -> None:
        there = root / "cifar-10-batches-py"
        if download:
            (lock,) = root.glob(".*.lock")
            try:
                FileLock(lock).acquire(timeout=0)
                self.held.append(False)
            except Timeout:
                self.held.append(True)
            there.mkdir(exist_ok=True)
        if not there.is_dir():
            raise RuntimeError("Dataset not found or corrupted. You can use download=True to download it")
        self.data = np.zeros((40, 32, 32, 3), dtype=np.uint8)
        self.targets = [0, 1] * 20


class Broken:
    def __init__(self, *args: Any, **options: Any) -> None:
        raise RuntimeError("File not found or corrupted.")


def test_one_process_fetches_at_a_time_and_what_is_there_is_not_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torchvision_module("datasets"), "CIFAR10", Fetched)
    monkeypatch.setattr(Fetched, "held", [])
    root = str(tmp_path / "not" / "yet")
    for _ in range(2):
        assert Cifar10(root=root, download=True).open().size("test") == 40
    assert Fetched.held == [True]


class Locked:
    def __init__(self, *args: Any, **options: Any) -> None:
        raise PermissionError(13, "Permission denied")


def test_what_cannot_be_read_is_no_failed_fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchvision_module("datasets"), "CIFAR10", Locked)
    for download in (False, True):
        with pytest.raises(UserError, match=r"data\.root: CIFAR10 in .* cannot be read: .*Permission denied"):
            Cifar10(root=str(tmp_path), download=download).open()


def test_an_unsound_fetch_is_not_told_to_be_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchvision_module("datasets"), "CIFAR10", Broken)
    with pytest.raises(UserError, match=r"data\.download: what was fetched to .* is no sound CIFAR10 .*: take it away"):
        Cifar10(root=str(tmp_path), download=True).open()
    with pytest.raises(UserError, match=r"set data.download to true to fetch it"):
        Cifar10(root=str(tmp_path)).open()
