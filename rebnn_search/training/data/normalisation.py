"""Standardisation of what is read, by the statistics of the training split."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

AT_ONCE = 2**20
"""Values that statistics are computed of at a time, in float64: 8 MiB, however many images there are."""
PIXELS = (0, 2, 3)
"""Dimensions of images (N, C, H, W) but for the channel."""
ROUNDING = 10 * torch.finfo(torch.float64).eps
"""Of a mean, relative to it and to √n: a column that varies by less is constant."""


def channel_statistics(images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (C,) of images (N, C, H, W), in their own units; a channel constant but for rounding gets std 1.

    Of bytes they are float32, of anything else float64, and `normalise` computes in their type: seconds since 1970 within one
    minute, or coordinates of millions of metres, are the same number to float32's seven digits.
    """
    parts = torch.split(images, max(1, AT_ONCE // max(1, images.shape[1:].numel())))
    if images.dtype == torch.uint8:
        mean, std = _of_bytes(parts)
        return mean.float(), torch.where(std > 0, std, 1.0).float()
    values = images[:, 0].numel()
    mean, std = _of_numbers(parts, values)
    least = ROUNDING * mean.abs() * max(1.0, values**0.5)
    return mean, torch.where(std > least, std, torch.where(std.isfinite(), 1.0, std))


def _of_bytes(parts: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (C,) float64, exact but for the last rounding: whole numbers below 2^53 add up so in any order."""
    count = sum(part[:, 0].numel() for part in parts)
    sums = torch.stack([part.double().sum(PIXELS) for part in parts]).sum(0)
    squares = torch.stack([part.double().square_().sum(PIXELS) for part in parts]).sum(0)
    found = [(int(one), int(square)) for one, square in zip(sums.tolist(), squares.tolist(), strict=True)]
    variances = [(count * square - one**2) / max(1, count**2) for one, square in found]
    return sums / count, torch.tensor(variances, dtype=torch.float64).sqrt_()


def _of_numbers(parts: Sequence[Tensor], count: int) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (C,) float64 of ``count`` values a channel: each part's own, put together."""
    shares = torch.tensor([part[:, 0].numel() for part in parts], dtype=torch.float64)[:, None] / count
    means, variances = (torch.stack(found) for found in zip(*(_moments(part.double()) for part in parts), strict=True))
    mean = (shares * means).sum(0)
    return mean, (shares * (variances + (means - mean).square())).sum(0).sqrt()


def _moments(values: Tensor) -> tuple[Tensor, Tensor]:
    return values.mean(PIXELS), values.var(PIXELS, correction=0)


def normalise(raw: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Images (N, C, H, W) in units of the deviation from the mean (1, C, 1, 1), computed in the statistics' type, as float32."""
    return ((raw.to(mean.dtype) - mean) / std).float()
