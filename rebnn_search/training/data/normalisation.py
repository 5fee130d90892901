"""Standardisation of what is read, by the statistics of the training split."""

from __future__ import annotations

import torch
from torch import Tensor

ROUNDING = 10 * torch.finfo(torch.float64).eps
"""Of a mean, relative to it and to √n: a column that varies by less is constant."""


def channel_statistics(images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (C,) of images (N, C, H, W), in their own units; a channel constant but for rounding gets std 1.

    Of bytes they are float32, of anything else float64, and `normalise` computes in their type: seconds since 1970 within one
    minute, or coordinates of millions of metres, are the same number to float32's seven digits.
    """
    values = images.double()
    mean = values.mean((0, 2, 3))
    std = values.std((0, 2, 3), correction=0)
    least = ROUNDING * mean.abs() * max(1.0, values[:, 0].numel() ** 0.5)
    std = torch.where(std > least, std, torch.where(std.isfinite(), 1.0, std))
    return (mean.float(), std.float()) if images.dtype == torch.uint8 else (mean, std)


def normalise(raw: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Images (N, C, H, W) in units of the deviation from the mean (1, C, 1, 1), computed in the statistics' type, as float32."""
    return ((raw.to(mean.dtype) - mean) / std).float()
