"""Data small enough to stay on the device."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rebnn_search.training.data.augmentations import Augmentation
from rebnn_search.training.data.base import Data, Split, crop_numbers
from rebnn_search.training.data.crop import RandomResizedCrop, crop_batch, shares_of


@dataclass(frozen=True)
class Samples:
    """One split.

    Attributes:
        images: (N, C, H, W), uint8, float32 or float64.
        labels: (N,) int64.
        weights: (N,) float32, if they differ.
        whole: (N, C, side, side) whole pictures scaled to squares, in the images' units, where crops are made of them.
        sizes: (N, 2) int64 height and width that they had, likewise.
    """

    images: Tensor
    labels: Tensor
    weights: Tensor | None = None
    whole: Tensor | None = None
    sizes: Tensor | None = None


class ResidentData(Data):
    """Splits held as tensors.

    Args:
        splits: The samples by split.
        classes: Names of the classes, by label.
        mean: Of each channel, in the images' own units.
        std: Of each channel, likewise.
        augmentation: Applied to normalised training batches; None for none.
        repeat: Passes over the training samples that make an epoch.
        crop: Made of the whole pictures of the training samples, which must then be there; None for none.
        crop_pct: As of `Data`.

    Raises:
        ValueError: If repeat is below 1.
    """

    def __init__(
        self,
        splits: Mapping[Split, Samples],
        classes: Sequence[str],
        mean: Tensor,
        std: Tensor,
        augmentation: Augmentation | None = None,
        repeat: int = 1,
        crop: RandomResizedCrop | None = None,
        crop_pct: float = 1.0,
    ) -> None:
        if repeat < 1:
            raise ValueError(f"repeat must be at least 1, not {repeat}")
        channels, image_size = splits["train"].images.shape[1:3]
        if augmentation is not None and splits["train"].images.dtype == torch.uint8:
            augmentation = augmentation.of_pictures(std / 255)
        super().__init__(classes, channels, image_size, mean, std, augmentation, crop, crop_pct)
        self._splits = dict(splits)
        self._repeat = repeat
        self._resident: dict[tuple[Split, torch.device], Samples] = {}

    def size(self, split: Split) -> int:
        """How many samples a split has; of training, how many an epoch takes."""
        return len(self._splits[split].labels) * (self._repeat if split == "train" else 1)

    def labels(self, split: Split) -> Tensor:
        """A split's labels."""
        return self._splits[split].labels

    def joined(self) -> Data:
        """Put the validation samples after the training samples, with their weights."""
        train, validation = self._splits["train"], self._splits["validation"]
        whole = Samples(
            torch.cat([train.images, validation.images]),
            torch.cat([train.labels, validation.labels]),
            _joined_weights(train, validation),
            None if train.whole is None or validation.whole is None else torch.cat([train.whole, validation.whole]),
            None if train.sizes is None or validation.sizes is None else torch.cat([train.sizes, validation.sizes]),
        )
        none = Samples(validation.images[:0], validation.labels[:0])
        splits = {**self._splits, "train": whole, "validation": none}
        return ResidentData(
            splits, self.classes, self.mean.flatten(), self.std.flatten(), self._augmentation, self._repeat, self._crop,
            self.crop_pct,
        )  # fmt: skip

    def samples(self, split: Split) -> Samples:
        """A split's samples, as they are kept."""
        return self._splits[split]

    def weights(self, split: Split) -> Tensor | None:
        """The samples' weights, as they were given."""
        return self._splits[split].weights

    def read(self, split: Split, parts: Sequence[Tensor], device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the samples from the device's memory."""
        samples = self._on(split, device)
        for part in parts:
            chosen = part.to(device) % len(samples.labels)
            yield samples.images[chosen], samples.labels[chosen]

    def read_cropped(
        self, split: Split, parts: Sequence[Tensor], device: torch.device, key: tuple[int | str, ...]
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield parts of the whole pictures in the device's memory."""
        samples, sizes = self._on(split, device), self._splits[split].sizes
        assert self._crop is not None and samples.whole is not None and sizes is not None
        for part in parts:
            chosen = part % len(samples.labels)
            boxes = self._crop.boxes(crop_numbers(self._crop, key, part), sizes[chosen])
            shares, here = shares_of(boxes, sizes[chosen]).to(device, torch.float32), chosen.to(device)
            yield crop_batch(samples.whole[here].float(), shares, self.image_size), samples.labels[here]

    def _on(self, split: Split, device: torch.device) -> Samples:
        key = (split, device)
        if key not in self._resident:
            samples = self._splits[split]
            whole = None if samples.whole is None else samples.whole.to(device)
            self._resident[key] = Samples(samples.images.to(device), samples.labels.to(device), whole=whole)
        return self._resident[key]


def _joined_weights(first: Samples, second: Samples) -> Tensor | None:
    """The weights of both, of mean 1; None where neither has any."""
    if first.weights is None and second.weights is None:
        return None
    both = [torch.ones(len(part.labels)) if part.weights is None else part.weights for part in (first, second)]
    weights = torch.cat(both).double()
    return (weights / weights.mean()).float()
