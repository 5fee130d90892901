"""The base of datasets and their registry.

To add one: a module beside this file with a subclass of `Dataset` under ``@DATASETS.register("name")``, found by itself. Its
constructor's arguments are its options in a recipe (``data: {name: name, option: value}``); `Dataset.open` returns a `Data`, of
tensors with `ResidentData`.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from rebnn_search.base.registry import Registry
from rebnn_search.training.data.augmentations import Augmentation
from rebnn_search.training.data.crop import RandomResizedCrop
from rebnn_search.training.data.normalisation import normalise

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


class Data(ABC):
    """An opened dataset: its splits as normalised, augmented batches. A subclass says how big they are and reads samples.

    Args:
        classes: Names of the classes, by label.
        channels: Channels of the images.
        image_size: Side of the (square) images.
        mean: Of each channel (C,), in the units of what is read; batches are normalised in its type.
        std: Of each channel, likewise.
        augmentation: Applied to normalised training batches; None for none.
        crop: Made of whole pictures before that, by `read_cropped`; None for none.
        crop_pct: Share of a picture's shorter side that is kept where no crop is drawn: what a model of these data is given.

    Attributes:
        left_out: What of the data was left out when they were opened, in words; None where nothing was.
    """

    left_out: str | None = None

    def __init__(
        self,
        classes: Sequence[str],
        channels: int,
        image_size: int,
        mean: Tensor,
        std: Tensor,
        augmentation: Augmentation | None,
        crop: RandomResizedCrop | None = None,
        crop_pct: float = 1.0,
    ) -> None:
        self.classes, self.channels, self.image_size = list(classes), channels, image_size
        self.mean, self.std = mean.view(1, -1, 1, 1), std.view(1, -1, 1, 1)
        self._augmentation, self._crop, self.crop_pct = augmentation, crop, crop_pct

    @property
    def num_classes(self) -> int:
        """How many classes there are."""
        return len(self.classes)

    @abstractmethod
    def size(self, split: Split) -> int:
        """How many samples a split has."""

    @abstractmethod
    def labels(self, split: Split) -> Tensor:
        """The labels (N,) int64 of a split, in order."""

    @abstractmethod
    def joined(self) -> Data:
        """The same data with the validation samples among those to train on and none left to validate on.

        Normalisation stays that of the training split alone, so that what is known of a trained network does not depend on it.
        """

    @abstractmethod
    def read(self, split: Split, parts: Sequence[Tensor], device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield, for each part, the images (N, C, H, W) and labels (N,) int64 of its sample indices, on the device."""

    def read_cropped(
        self, split: Split, parts: Sequence[Tensor], device: torch.device, key: tuple[int | str, ...]
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield as `read`, each image a crop of its whole picture that is a function of the key and the sample's index alone.

        Data opened with a ``crop`` have it.
        """
        raise NotImplementedError

    def statistics(self) -> dict[str, object]:
        """What a trained network's inputs are prepared by, as plain values: classes, and each channel's mean and deviation."""
        return {"classes": self.classes, "mean": self.mean.flatten().tolist(), "std": self.std.flatten().tolist()}

    def weights(self, split: Split) -> Tensor | None:
        """The weight of each sample (N,) in losses and metrics, float32, of mean 1 in ``train``; None where all count alike."""
        return None

    def batches(self, split: Split, **options: Any) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the images and labels of `weighted_batches`, whose options these are."""
        for images, labels, _ in self.weighted_batches(split, **options):
            yield images, labels

    def weighted_batches(
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
    ) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
        """Yield images (N, C, H, W) float32, labels (N,) int64 and weights (N,) float32, or None, on the device.

        The order is a function of (seed, epoch) alone, a batch's augmentation of (seed, epoch, its index) and a crop of a whole
        picture of (seed, epoch, the sample), so that an epoch begun at batch ``start`` goes on exactly as one that came there.
        ``batch_size`` is the global batch; each rank gets its part of every one, and the parts in the order of the ranks are the
        batch that one process would get.
        """
        device, count = torch.device(device), self.size(split)
        order = torch.randperm(count, generator=seeded("order", seed, epoch)) if shuffle else torch.arange(count)
        total = count // batch_size if drop_last else -(-count // batch_size)
        wholes = [order[index * batch_size : (index + 1) * batch_size] for index in range(start, total)]
        slices = [rank_part(len(whole), rank, world_size) for whole in wholes]
        parts = [whole[part] for whole, part in zip(wholes, slices, strict=True)]
        mean, std = self.mean.to(device), self.std.to(device)
        weights = self.weights(split)
        cropped = augment and self._crop is not None
        read = self.read_cropped(split, parts, device, ("crop", seed, epoch)) if cropped else self.read(split, parts, device)
        for index, (raw, labels) in enumerate(read):
            images = normalise(raw, mean, std)
            if augment and self._augmentation is not None:
                # Drawn for the global batch: a sample's augmentation does not depend on how many ranks share it.
                draws = self._augmentation.draw(len(wholes[index]), seeded("augment", seed, epoch, start + index))
                mine = {name: draw[slices[index]].to(device) for name, draw in draws.items()}
                images = self._augmentation.apply(images, mine)
            yield images, labels, None if weights is None else weights[parts[index] % len(weights)].to(device)


class Dataset(ABC):
    """Options of a dataset; nothing is read before `open`."""

    def check_place(self) -> None:  # noqa: B027 - one that keeps its data in itself has no place
        """See that what `open` would read is there, without reading it: what takes milliseconds, before workers are started.

        Raises:
            UserError: If it is not; the message names the option and the place.
        """

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


def crop_numbers(crop: RandomResizedCrop, key: tuple[int | str, ...], indices: Tensor) -> Tensor:
    """The uniform numbers (N, `RandomResizedCrop.uniforms`) of samples' crops: of each a function of the key and its index."""
    drawn = [crop.draw(1, seeded(*key, index)) for index in indices.tolist()]
    return torch.cat(drawn) if drawn else torch.empty(0, crop.uniforms, dtype=torch.float64)


def rank_part(count: int, rank: int, world_size: int) -> slice:
    """The part of ``count`` samples that a rank takes: contiguous, sizes differing by one at most."""
    base, extra = divmod(count, world_size)
    begin = rank * base + min(rank, extra)
    return slice(begin, begin + base + (rank < extra))
