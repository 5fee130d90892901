"""Data too large to keep: files read and decoded by worker processes, normalised and augmented on the device."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from rebnn_search.config import UserError
from rebnn_search.training.data._augment import Augmentation
from rebnn_search.training.data._base import Data, Split, rank_part, seeded

Batch = tuple[int, Tensor, Tensor]


class _Files(TorchDataset[Batch | str]):
    """Decodes whole batches: an item is (index of the batch, images, labels), or the message of a file that failed."""

    def __init__(self, batches: list[tuple[int, list[Path], Tensor]], size: int, grayscale: bool) -> None:
        self._batches, self._size, self._grayscale = batches, size, grayscale

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, item: int) -> Batch | str:
        from rebnn_search.training.data._folder import read_images

        index, files, labels = self._batches[item]
        try:
            return index, read_images(files, self._size, self._grayscale), labels
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
        self.classes = list(classes)
        self.channels = 1 if grayscale else 3
        self.image_size = image_size
        self._splits = dict(splits)
        self._grayscale = grayscale
        self._mean, self._std = mean.view(1, -1, 1, 1), std.view(1, -1, 1, 1)
        self._augmentation = augmentation
        self._workers = workers

    def size(self, split: Split) -> int:
        """How many samples a split has."""
        return len(self._splits[split][0])

    def batches(
        self,
        split: Split,
        *,
        batch_size: int,
        seed: int = 0,
        epoch: int = 0,
        rank: int = 0,
        world_size: int = 1,
        device: torch.device | str = "cpu",
        shuffle: bool = False,
        augment: bool = False,
        drop_last: bool = False,
        start: int = 0,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield batches as `Data.batches` says.

        Raises:
            UserError: Naming the first file that cannot be decoded.
        """
        device = torch.device(device)
        files, labels = self._splits[split]
        count = len(files)
        order = torch.randperm(count, generator=seeded("order", seed, epoch)) if shuffle else torch.arange(count)
        total = count // batch_size if drop_last else -(-count // batch_size)
        wanted, sizes = [], {}
        for index in range(start, total):
            whole = order[index * batch_size : (index + 1) * batch_size]
            part = whole[rank_part(len(whole), rank, world_size)]
            wanted.append((index, [files[i] for i in part.tolist()], labels[part]))
            sizes[index] = len(whole)
        loader = DataLoader(
            _Files(wanted, self.image_size, self._grayscale), batch_size=None, num_workers=self._workers,
            pin_memory=device.type == "cuda", multiprocessing_context="spawn" if self._workers else None,
        )  # fmt: skip
        mean, std = self._mean.to(device), self._std.to(device)
        for item in loader:
            if isinstance(item, str):
                raise UserError(item)
            index, images, targets = item
            pixels = (images.to(device, non_blocking=True).float() - mean) / std
            if augment and self._augmentation is not None:
                draws = self._augmentation.draw(sizes[index], seeded("augment", seed, epoch, index))
                mine = rank_part(sizes[index], rank, world_size)
                pixels = self._augmentation.apply(pixels, {name: draw[mine].to(device) for name, draw in draws.items()})
            yield pixels, targets.to(device, non_blocking=True)
