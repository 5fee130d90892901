"""The base of datasets and their registry.

To add one: a module beside this file with a subclass of `Dataset` under ``@DATASETS.register("name")``, imported in ``__init__``. Its
constructor's arguments are its options in a recipe (``data: {name: name, option: value}``); `Dataset.open` returns a `Data`, of
tensors with `ResidentData`.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor

from rebnn_search.method.registry import Registry

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


class Data(ABC):
    """An opened dataset: its splits as normalised batches.

    Attributes:
        classes: Names of the classes, by label.
        channels: Channels of the images.
        image_size: Side of the (square) images.
    """

    classes: list[str]
    channels: int
    image_size: int

    @property
    def num_classes(self) -> int:
        """How many classes there are."""
        return len(self.classes)

    @abstractmethod
    def size(self, split: Split) -> int:
        """How many samples a split has."""

    @abstractmethod
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
        """Yield images (N, C, H, W) float32 and labels (N,) int64 on the device.

        The order is a function of (seed, epoch) alone and a batch's augmentation of (seed, epoch, its index), so that an epoch
        begun at batch ``start`` goes on exactly as one that came there. ``batch_size`` is the global batch; each rank gets its
        part of every one, and the parts in the order of the ranks are the batch that one process would get.
        """


class Dataset(ABC):
    """Options of a dataset; nothing is read before `open`."""

    @abstractmethod
    def open(self) -> Data:
        """Read what there is.

        Raises:
            UserError: If it is missing or unfit; the message names the file or class.
        """


DATASETS: Registry[Dataset] = Registry("dataset")
"""Datasets by name."""


def seeded(*parts: int | str) -> torch.Generator:
    """Return a CPU generator whose stream is a function of the parts alone, on every machine."""
    digest = hashlib.sha256(":".join(map(str, parts)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") & (2**63 - 1))


def rank_part(count: int, rank: int, world_size: int) -> slice:
    """The part of ``count`` samples that a rank takes: contiguous, sizes differing by one at most."""
    base, extra = divmod(count, world_size)
    begin = rank * base + min(rank, extra)
    return slice(begin, begin + base + (rank < extra))
