"""Data too large to keep: files read and decoded by worker processes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from rebnn_search.config import UserError
from rebnn_search.training.data.augmentations import Augmentation
from rebnn_search.training.data.base import Data, Split, crop_numbers
from rebnn_search.training.data.crop import RandomResizedCrop
from rebnn_search.training.data.images import DamagedImageError, advice, as_tensor, cut_out, decode, open_picture

Batch = tuple[Tensor, Tensor]
CHECKED_AT_ONCE = 64


@dataclass(frozen=True)
class _Wanted:
    """A batch to read: its files, labels (N,) and, where crops are drawn, indices (N,) in the split."""

    files: list[Path]
    labels: Tensor
    indices: Tensor


@dataclass(frozen=True)
class _Crops:
    """Crops of whole pictures, and what each is a function of beside the sample's index."""

    crop: RandomResizedCrop
    key: tuple[int | str, ...]


class _Files(TorchDataset[Batch | str]):
    """Decodes whole batches: an item is images and labels, or the message of a file that failed."""

    def __init__(self, batches: list[_Wanted], size: int, grayscale: bool, crop_pct: float, crops: _Crops | None) -> None:
        self._batches, self._size, self._grayscale, self._crop_pct, self._crops = batches, size, grayscale, crop_pct, crops

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, item: int) -> Batch | str:
        wanted = self._batches[item]
        try:
            if self._crops is None:
                images = decode(wanted.files, self._size, self._grayscale, self._crop_pct).images
            else:
                images = self._cropped(wanted, self._crops)
        except UserError as error:
            # As a value: the loader would wrap an exception in its own, with a traceback.
            return advice(error)
        return images, wanted.labels

    def _cropped(self, wanted: _Wanted, crops: _Crops) -> Tensor:
        numbers = crop_numbers(crops.crop, crops.key, wanted.indices)
        images = []
        for file, drawn in zip(wanted.files, numbers, strict=True):
            picture = open_picture(file, self._grayscale)
            box = crops.crop.boxes(drawn[None], torch.tensor([[picture.height, picture.width]]))[0]
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
    for found in _loader(_Checked(files), workers):
        if isinstance(found, str):
            raise UserError(found)
        damaged += [files[index] for index in found]
    return damaged


def _loader(items: TorchDataset[Any], workers: int, pin_memory: bool = False) -> DataLoader[Any]:
    return DataLoader(
        items, batch_size=None, num_workers=workers, pin_memory=pin_memory,
        multiprocessing_context="spawn" if workers else None,
    )  # fmt: skip


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
        super().__init__(classes, 1 if grayscale else 3, image_size, mean, std, augmentation, crop, crop_pct)
        self._splits = dict(splits)
        self._grayscale = grayscale
        self._workers = workers

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
        assert self._crop is not None
        return self._read(split, parts, device, _Crops(self._crop, key))

    def _read(self, split: Split, parts: Sequence[Tensor], device: torch.device, crops: _Crops | None) -> Iterator[Batch]:
        files, labels = self._splits[split]
        wanted = [_Wanted([files[i] for i in part.tolist()], labels[part], part) for part in parts]
        items = _Files(wanted, self.image_size, self._grayscale, self.crop_pct, crops)
        for item in _loader(items, self._workers, device.type == "cuda"):
            if isinstance(item, str):
                raise UserError(item)
            images, targets = item
            yield images.to(device, non_blocking=True), targets.to(device, non_blocking=True)
