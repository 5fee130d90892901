"""Random resized crops of whole pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

TRIES = 10
RATIOS = (3 / 4, 4 / 3)
"""Least and largest width / height of a crop."""


@dataclass(frozen=True)
class RandomResizedCrop:
    """Crops as torchvision's ``RandomResizedCrop`` draws them.

    Area a·H·W with a uniform from ``min_scale`` to 1, aspect ratio r log-uniform from 3/4 to 4/3, sides round(√(area·r)) and
    round(√(area/r)) pixels; the first of ten tries that lies within the picture, at a uniform place. If none does, the middle of the
    picture, as much of it as the aspect ratios allow.

    Args:
        min_scale: Least share of the picture that a crop covers.
    """

    min_scale: float

    uniforms: ClassVar[int] = 2 * TRIES + 2
    """Uniform numbers that a crop is a function of: area and ratio of each try, top and left."""

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw the numbers (count, `uniforms`) float64 of crops."""
        return torch.rand(count, self.uniforms, generator=generator, dtype=torch.float64)

    def boxes(self, drawn: Tensor, sizes: Tensor) -> Tensor:
        """Where crops lie.

        Args:
            drawn: (N, `uniforms`), from `draw`.
            sizes: (N, 2) height and width of each picture, in pixels.

        Returns:
            (N, 4) int64: top, left, height and width.
        """
        tries = drawn[:, : 2 * TRIES].reshape(-1, TRIES, 2)
        size = sizes.double()
        height, width = size[:, :1], size[:, 1:]
        area = height * width * (self.min_scale + (1 - self.min_scale) * tries[:, :, 0])
        low, high = (math.log(ratio) for ratio in RATIOS)
        ratio = torch.exp(low + (high - low) * tries[:, :, 1])
        wide, tall = (area * ratio).sqrt().round(), (area / ratio).sqrt().round()
        fits = (wide > 0) & (wide <= width) & (tall > 0) & (tall <= height)
        first = fits.int().argmax(1, keepdim=True)
        sides = torch.cat([tall.gather(1, first), wide.gather(1, first)], 1)
        place = (drawn[:, 2 * TRIES :] * (size - sides + 1)).floor().clamp(min=0)
        central = torch.cat(
            [torch.minimum(height, (width / RATIOS[0]).round()), torch.minimum(width, (height * RATIOS[1]).round())], 1
        )
        any_fits = fits.any(1, keepdim=True)
        sides = torch.where(any_fits, sides, central)
        place = torch.where(any_fits, torch.minimum(place, size - sides), ((size - sides) / 2).floor())
        return torch.cat([place, sides], 1).long()


def crop_batch(images: Tensor, shares: Tensor, size: int) -> Tensor:
    """Cut a part out of each image and scale it by bilinear interpolation.

    Args:
        images: (N, C, H, W), real.
        shares: (N, 4) top, left, height and width as shares of the image.
        size: Side of what is returned, (N, C, size, size).
    """
    top, left, height, width = shares.to(images.dtype).unbind(1)
    theta = torch.zeros(len(images), 2, 3, dtype=images.dtype, device=images.device)
    theta[:, 0, 0], theta[:, 0, 2] = width, 2 * left + width - 1
    theta[:, 1, 1], theta[:, 1, 2] = height, 2 * top + height - 1
    grid = F.affine_grid(theta, [len(images), images.shape[1], size, size], align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def shares_of(boxes: Tensor, sizes: Sequence[int] | Tensor) -> Tensor:
    """Boxes (N, 4) in pixels of pictures of these heights and widths (N, 2) as shares of them."""
    whole = torch.as_tensor(sizes, device=boxes.device).double().expand(len(boxes), 2)
    return boxes.double() / torch.cat([whole, whole], 1)
