"""Scaling factors that do not look at the weights."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rebnn_search.method.scaling.base import SCALE_INIT, ScaleInit


@SCALE_INIT.register("constant")
class ConstantScale(ScaleInit):
    """α = value for every channel.

    Worth trying to see how far the learning of α alone carries, and as the control for the inits that fit it.

    Raises:
        ValueError: If the value is not finite and above 0.
    """

    def __init__(self, value: float = 0.05) -> None:
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"value must be finite and > 0, not {value}")
        self.value = value

    def scale(self, weight: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return the value for each channel."""
        return weight.new_full((weight.shape[0],), self.value)


@SCALE_INIT.register("randn_abs")
class RandnAbs(ScaleInit):
    """α = 0.02·|N(0, 1)|: what the released implementation begins with in effect, unrelated to the weights.

    Worth a row to compare with the published runs.
    """

    def scale(self, weight: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw a magnitude for each channel."""
        draw = torch.randn(weight.shape[0], generator=generator, dtype=torch.float64)
        return draw.abs().mul_(0.02).to(weight)
