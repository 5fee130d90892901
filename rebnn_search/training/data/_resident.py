"""Data small enough to stay on the device: normalised and augmented there, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rebnn_search.training.data._augment import Augmentation
from rebnn_search.training.data._base import Data, Split, rank_part, seeded


@dataclass(frozen=True)
class Samples:
    """One split: images (N, C, H, W), uint8 or float32, and labels (N,) int64."""

    images: Tensor
    labels: Tensor


class ResidentData(Data):
    """Splits held as tensors.

    Args:
        splits: The samples by split.
        classes: Names of the classes, by label.
        mean: Of each channel, in the images' own units.
        std: Of each channel, likewise.
        augmentation: Applied to normalised training batches; None for none.
    """

    def __init__(
        self,
        splits: Mapping[Split, Samples],
        classes: Sequence[str],
        mean: Tensor,
        std: Tensor,
        augmentation: Augmentation | None = None,
    ) -> None:
        self.classes = list(classes)
        self.channels, self.image_size = splits["train"].images.shape[1:3]
        self._splits = dict(splits)
        self._mean = mean.view(1, -1, 1, 1)
        self._std = std.view(1, -1, 1, 1)
        self._augmentation = augmentation
        self._resident: dict[tuple[Split, torch.device], Samples] = {}

    def size(self, split: Split) -> int:
        """How many samples a split has."""
        return len(self._splits[split].labels)

    def samples(self, split: Split) -> Samples:
        """A split's samples, as they are kept."""
        return self._splits[split]

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
        """Yield batches as `Data.batches` says."""
        device = torch.device(device)
        samples = self._on(split, device)
        count = len(samples.labels)
        order = torch.randperm(count, generator=seeded("order", seed, epoch)) if shuffle else torch.arange(count)
        mean, std = self._mean.to(device), self._std.to(device)
        total = count // batch_size if drop_last else -(-count // batch_size)
        for index in range(start, total):
            batch = order[index * batch_size : (index + 1) * batch_size]
            part = rank_part(len(batch), rank, world_size)
            chosen = batch[part].to(device)
            images = (samples.images[chosen].float() - mean) / std
            if augment and self._augmentation is not None:
                # Drawn for the global batch: a sample's augmentation does not depend on how many ranks share it.
                draws = self._augmentation.draw(len(batch), seeded("augment", seed, epoch, index))
                images = self._augmentation.apply(images, {name: draw[part].to(device) for name, draw in draws.items()})
            yield images, samples.labels[chosen]

    def _on(self, split: Split, device: torch.device) -> Samples:
        key = (split, device)
        if key not in self._resident:
            samples = self._splits[split]
            self._resident[key] = Samples(samples.images.to(device), samples.labels.to(device))
        return self._resident[key]


def channel_statistics(images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (C,) of images (N, C, H, W), in their own units; a constant channel gets std 1."""
    values = images.double()
    mean = values.mean((0, 2, 3))
    std = values.std((0, 2, 3), correction=0)
    return mean.float(), torch.where(std > 0, std, 1.0).float()
