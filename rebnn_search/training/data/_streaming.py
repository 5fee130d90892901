"""Data too large to keep: files read and decoded by worker processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler
from torch.utils.data import Dataset as TorchDataset

from rebnn_search.base.signals import STOPS, held_back
from rebnn_search.config import UserError
from rebnn_search.training.data.augmentations import Augmentation
from rebnn_search.training.data.base import Data, Split, crop_numbers
from rebnn_search.training.data.crop import RandomResizedCrop
from rebnn_search.training.data.images import DamagedImageError, advice, as_tensor, cut_out, decode, open_picture

Batch = tuple[Tensor, Tensor]
CHECKED_AT_ONCE = 64


Key = tuple[int | str, ...]
Wanted = tuple[Tensor, Key | None]
"""A batch to read: its indices (N,) in the split, and of what its crops are a function beside these; None: no crops are drawn."""


class _Files(TorchDataset[Tensor | str]):
    """Decodes whole batches: an item is the images of a `Wanted`, or the message of a file that failed."""

    def __init__(
        self, files: Sequence[Path], size: int, grayscale: bool, crop_pct: float, crop: RandomResizedCrop | None
    ) -> None:
        self._files, self._size, self._grayscale, self._crop_pct, self._crop = files, size, grayscale, crop_pct, crop

    def __getitem__(self, wanted: Wanted) -> Tensor | str:
        indices, key = wanted
        files = [self._files[index] for index in indices.tolist()]
        try:
            if key is not None:
                return self._cropped(files, indices, key)
            return decode(files, self._size, self._grayscale, self._crop_pct).images
        except UserError as error:
            # As a value: the loader would wrap an exception in its own, with a traceback.
            return advice(error)

    def _cropped(self, files: Sequence[Path], indices: Tensor, key: Key) -> Tensor:
        assert self._crop is not None
        images = []
        for file, drawn in zip(files, crop_numbers(self._crop, key, indices), strict=True):
            picture = open_picture(file, self._grayscale)
            box = self._crop.boxes(drawn[None], torch.tensor([[picture.height, picture.width]]))[0]
            images.append(as_tensor(cut_out(picture, box.tolist(), self._size)))
        channels = 1 if self._grayscale else 3
        return torch.stack(images) if images else torch.empty((0, channels, self._size, self._size), dtype=torch.uint8)


class _Checked(TorchDataset[list[int] | str]):
    """Decodes files and forgets them: an item is the indices of the damaged ones among some, or the message of one unreadable."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = files

    def __len__(self) -> int:
        return -(-len(self._files) // CHECKED_AT_ONCE)

    def __getitem__(self, item: int) -> list[int] | str:
        damaged = []
        for index in range(item * CHECKED_AT_ONCE, min((item + 1) * CHECKED_AT_ONCE, len(self._files))):
            try:
                open_picture(self._files[index], grayscale=False)
            except DamagedImageError:
                damaged.append(index)
            except UserError as error:
                return str(error)
        return damaged


def find_damaged(files: Sequence[Path], workers: int) -> list[Path]:
    """Decode every file, in so many processes, and return those that are no pictures.

    Raises:
        UserError: If one is gone or cannot be read.
    """
    damaged: list[Path] = []
    checked = _Checked(files)
    for found in _Loader(checked, workers).read(range(len(checked))):
        if isinstance(found, str):
            raise UserError(found)
        damaged += [files[index] for index in found]
    return damaged


class _Loader:
    """Workers that stay: what they read is said anew for each pass. Of two passes at a time the second has workers of its own.

    Args:
        items: What an item is, by what is wanted.
        workers: How many; 0 reads in this process.
        pin_memory: Whether the results are to be copied to a GPU.
    """

    def __init__(self, items: TorchDataset[Any], workers: int, pin_memory: bool = False) -> None:
        self._made = (items, workers, pin_memory)
        self._busy = False
        self._wanted: list[Any] = []
        self._loader: DataLoader[Any] = DataLoader(
            items, batch_size=None, sampler=_Said(self._wanted), num_workers=workers, pin_memory=pin_memory,
            multiprocessing_context="spawn" if workers else None, persistent_workers=workers > 0,
            generator=torch.Generator(),  # or each pass would draw from torch's own, whose state is the training's
            worker_init_fn=_leave_group if workers else None,
        )  # fmt: skip

    def read(self, wanted: Sequence[Any]) -> Iterator[Any]:
        """Yield the item of each in turn."""
        if self._busy:
            yield from _Loader(*self._made).read(wanted)
            return
        self._busy = True
        try:
            self._wanted[:] = wanted
            if self._loader.num_workers:
                resource_tracker.ensure_running()  # whose start would let them through
            with held_back(*STOPS):  # in workers that start here, until they have left the group
                items = iter(self._loader)
            yield from items
        finally:
            self._busy = False


def _leave_group(worker: int) -> None:
    """Leave the process group of a terminal or batch system, whose signals are the training's to answer: it needs its workers yet."""
    os.setpgid(0, 0)
    while pending := signal.sigpending() & set(STOPS):
        signal.sigwait(pending)  # what came before that was the training's; macOS has no sigtimedwait
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)


class _Said(Sampler[Any]):
    """What is in a list when a pass begins."""

    def __init__(self, wanted: list[Any]) -> None:
        self._wanted = wanted

    def __iter__(self) -> Iterator[Any]:
        return iter(list(self._wanted))

    def __len__(self) -> int:
        return len(self._wanted)


class StreamingData(Data):
    """Splits held as lists of files.

    Args:
        splits: Files and labels (N,) int64 by split.
        classes: Names of the classes, by label.
        image_size: Side of the decoded images.
        grayscale: One channel instead of three.
        mean: Of each channel, in units of 0 to 255.
        std: Of each channel, likewise.
        augmentation: Applied to normalised training batches.
        workers: Processes that read; 0 reads in this one.
        crop: Made of whole pictures for training batches, as they are decoded; None for none.
        crop_pct: As of `Data`.
    """

    def __init__(
        self,
        splits: Mapping[Split, tuple[Sequence[Path], Tensor]],
        classes: Sequence[str],
        image_size: int,
        grayscale: bool,
        mean: Tensor,
        std: Tensor,
        augmentation: Augmentation | None,
        workers: int,
        crop: RandomResizedCrop | None = None,
        crop_pct: float = 1.0,
    ) -> None:
        own = None if augmentation is None else augmentation.of_pictures(std / 255)
        super().__init__(classes, 1 if grayscale else 3, image_size, mean, std, own, crop, crop_pct)
        self._splits = dict(splits)
        self._grayscale = grayscale
        self._workers = workers
        self._loaders: dict[tuple[Split, bool], _Loader] = {}

    def size(self, split: Split) -> int:
        """How many samples a split has."""
        return len(self._splits[split][0])

    def labels(self, split: Split) -> Tensor:
        """A split's labels."""
        return self._splits[split][1]

    def joined(self) -> Data:
        """Put the validation files after the training files."""
        (files, labels), (more, more_labels) = self._splits["train"], self._splits["validation"]
        splits = {**self._splits, "train": ([*files, *more], torch.cat([labels, more_labels])), "validation": ([], labels[:0])}
        return StreamingData(
            splits, self.classes, self.image_size, self._grayscale, self.mean.flatten(), self.std.flatten(), self._augmentation,
            self._workers, self._crop, self.crop_pct,
        )  # fmt: skip

    def read(self, split: Split, parts: Sequence[Tensor], device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the samples as the workers have read them.

        Raises:
            UserError: Naming the first file that cannot be decoded.
        """
        return self._read(split, parts, device, None)

    def read_cropped(
        self, split: Split, parts: Sequence[Tensor], device: torch.device, key: tuple[int | str, ...]
    ) -> Iterator[Batch]:
        """Yield parts of the whole pictures as the workers have cut them out. Errors as `read`."""
        return self._read(split, parts, device, key)

    def _read(self, split: Split, parts: Sequence[Tensor], device: torch.device, key: Key | None) -> Iterator[Batch]:
        labels, pinned = self._splits[split][1], device.type == "cuda"
        if (split, pinned) not in self._loaders:
            items = _Files(self._splits[split][0], self.image_size, self._grayscale, self.crop_pct, self._crop)
            self._loaders[split, pinned] = _Loader(items, self._workers, pinned)
        for part, item in zip(parts, self._loaders[split, pinned].read([(part, key) for part in parts]), strict=True):
            if isinstance(item, str):
                raise UserError(item)
            yield item.to(device, non_blocking=True), labels[part].to(device, non_blocking=True)
