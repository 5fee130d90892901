"""Weights of two values a channel as bits and scaling factors, without loss."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

PARTS = BITS, SCALE, LOW = "bits", "scale", "low"


def pack(weight: Tensor) -> dict[str, Tensor]:
    """Take weights (C_out, ...) apart.

    Returns:
        ``bits``: uint8 (⌈n / 8⌉), the n weights in order, the first in the highest bit: 1 where one is +α of its channel, else −α.
        ``scale``: α (C_out), at least 0. ``low``: (C_out), only where the channels' two values are not ±α: what a 0 stands
        for, a 1 standing for ``scale``.

    Raises:
        ValueError: If a channel has more than two values, or one that is no number.
    """
    flat = weight.detach().flatten(1)
    scale = flat.abs().amax(1)
    bits, low = ~flat.signbit(), -scale
    parts = {SCALE: scale}
    if not torch.equal(_join(bits, scale, low), flat):
        scale, low = flat.amax(1), flat.amin(1)
        bits, parts = flat == scale[:, None], {SCALE: scale, LOW: low}
        if not torch.equal(_join(bits, scale, low), flat):
            raise ValueError("the weights of a channel have more than two values, or one is no number")
    return {BITS: torch.from_numpy(np.packbits(bits.numpy().reshape(-1))), **parts}


def unpack(parts: Mapping[str, Tensor], shape: torch.Size) -> Tensor:
    """Put weights together that `pack` took apart, bit for bit."""
    scale = parts[SCALE]
    bits = torch.from_numpy(np.unpackbits(parts[BITS].numpy(), count=shape.numel())).bool()
    return _join(bits.view(shape[0], -1), scale, parts.get(LOW, -scale)).view(shape)


def _join(bits: Tensor, high: Tensor, low: Tensor) -> Tensor:
    return torch.where(bits, high[:, None], low[:, None])
