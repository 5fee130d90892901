"""γ that does not follow training."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rebnn_search.method.gamma.base import GAMMA, GammaStrategy


@GAMMA.register("constant")
class Constant(GammaStrategy):
    """γ = value for every channel from the first step on; 0 leaves the reconstruction term out (Table 3.7, first row).

    Raises:
        ValueError: If the value is negative or not finite.
    """

    def __init__(self, value: float = 1e-4) -> None:
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"value must be finite and >= 0, not {value}")
        self.value = value

    def initial(self, channels: Tensor) -> Tensor:
        """Return the value: it needs no step to be known."""
        return torch.full_like(channels, self.value)

    def update(self, flip_fraction: Tensor, max_grad: Tensor, iteration: int, memory: Tensor | None = None) -> Tensor:
        """Return the value."""
        return torch.full_like(max_grad, self.value)
