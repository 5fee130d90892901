"""Augmentations of normalised batches on the device.

An augmentation draws its random numbers for a whole batch on the CPU, then applies them: what it does to a sample is a function of
the draws alone. To add one: a subclass of `Augmentation` under ``@AUGMENTATIONS.register("name")``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from rebnn_search.config import component
from rebnn_search.method.registry import Registry

AUGMENTATIONS: Registry[Augmentation] = Registry("augmentation")
"""Augmentations by name."""

Draws = Mapping[str, Tensor]


class Augmentation(ABC):
    """Changes training images in a way that leaves their label."""

    @abstractmethod
    def draw(self, count: int, generator: torch.Generator) -> Draws:
        """Draw the random numbers for ``count`` samples: CPU tensors whose first dimension is the sample."""

    @abstractmethod
    def apply(self, images: Tensor, draws: Draws) -> Tensor:
        """Change images (N, C, H, W) by their draws, both on one device."""


@AUGMENTATIONS.register("none")
class NoAugmentation(Augmentation):
    """The images as they are."""

    def draw(self, count: int, generator: torch.Generator) -> Draws:
        """Draw nothing."""
        return {}

    def apply(self, images: Tensor, draws: Draws) -> Tensor:
        """Return the images."""
        return images


@AUGMENTATIONS.register("crop_flip")
class CropFlip(Augmentation):
    """Pad by ``padding`` zeros (the mean, after normalisation), crop the old size at random, flip half of the images.

    Args:
        padding: Pixels on each side; the shift is at most this.
        flip: Mirror left to right with probability one half.

    Raises:
        ValueError: If the padding is negative.
    """

    def __init__(self, *, padding: int = 4, flip: bool = True) -> None:
        if padding < 0:
            raise ValueError(f"padding must be >= 0, not {padding}")
        self.padding, self.flip = padding, flip

    def draw(self, count: int, generator: torch.Generator) -> Draws:
        """Draw ``row`` and ``column`` offsets from 0 to 2·padding, and whether to ``flip``."""
        limit = 2 * self.padding + 1
        return {
            "row": torch.randint(limit, (count,), generator=generator),
            "column": torch.randint(limit, (count,), generator=generator),
            "flip": torch.randint(2, (count,), generator=generator).bool() & self.flip,
        }

    def apply(self, images: Tensor, draws: Draws) -> Tensor:
        """Crop and flip."""
        count, _, height, width = images.shape
        padded = F.pad(images, [self.padding] * 4)
        rows = draws["row"].view(-1, 1) + torch.arange(height, device=images.device)
        across = torch.arange(width, device=images.device).expand(count, -1)
        columns = draws["column"].view(-1, 1) + torch.where(draws["flip"].view(-1, 1), across.flip(1), across)
        sample = torch.arange(count, device=images.device).view(-1, 1, 1)
        return padded[sample, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()


AugmentationOption = component(AUGMENTATIONS, "augmentation", construct=True)
"""Field type of a dataset's ``augment`` option."""
