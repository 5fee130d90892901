"""Data too large to keep: files read and decoded by worker processes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from rebnn_search.config import UserError
from rebnn_search.training.data._augment import Augmentation
from rebnn_search.training.data._base import Data, Split
from rebnn_search.training.data._images import read_images

Batch = tuple[Tensor, Tensor]


class _Files(TorchDataset[Batch | str]):
    """Decodes whole batches: an item is images and labels, or the message of a file that failed."""

    def __init__(self, batches: list[tuple[list[Path], Tensor]], size: int, grayscale: bool) -> None:
        self._batches, self._size, self._grayscale = batches, size, grayscale

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, item: int) -> Batch | str:
        files, labels = self._batches[item]
        try:
            return read_images(files, self._size, self._grayscale), labels
        except UserError as error:
            # As a value: the loader would wrap an exception in its own, with a traceback.
            return str(error)


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
    ) -> None:
        super().__init__(classes, 1 if grayscale else 3, image_size, mean, std, augmentation)
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
            self._workers,
        )  # fmt: skip

    def read(self, split: Split, parts: Sequence[Tensor], device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the samples as the workers have read them.

        Raises:
            UserError: Naming the first file that cannot be decoded.
        """
        files, labels = self._splits[split]
        wanted = [([files[i] for i in part.tolist()], labels[part]) for part in parts]
        loader = DataLoader(
            _Files(wanted, self.image_size, self._grayscale), batch_size=None, num_workers=self._workers,
            pin_memory=device.type == "cuda", multiprocessing_context="spawn" if self._workers else None,
        )  # fmt: skip
        for item in loader:
            if isinstance(item, str):
                raise UserError(item)
            images, targets = item
            yield images.to(device, non_blocking=True), targets.to(device, non_blocking=True)
