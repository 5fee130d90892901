"""BiPer's weights: a square wave of the latent weights, with the sine of the same period as its stand-in."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from rebnn_search.method.binarize import StraightThroughSign
from rebnn_search.method.weights.base import WEIGHTS, WeightBinarizer, mean_magnitude


@WEIGHTS.register("biper")
class BiPer(WeightBinarizer):
    """scale·sign(sin(ω·w)), with the gradient of scale·sin(ω·w).

    The sign's gradient is the identity, so that G arrives as scale·G·ω·cos(ω·w). A weight has no one side to flip to: its sign turns
    at every multiple of π/ω. The output scale is learned for each channel (Vargas et al., "BiPer: Binary Neural Networks using a
    Periodic Function", CVPR 2024). Of that paper's training these are the weights alone: its stage one trains sin(ω·w) in place of w,
    its scale starts from that stage's and here at mean|w|, and its stage two adds a penalty on sin²(ω·w).

    Args:
        weight: The latent weights (C_out, ...).
        frequency: ω; the released training's is 20.

    Raises:
        ValueError: If the frequency is not finite and above 0.
    """

    def __init__(self, weight: Tensor, *, frequency: float = 20.0) -> None:
        super().__init__(weight)
        if not 0 < frequency < math.inf:
            raise ValueError(f"frequency must be finite and > 0, not {frequency}")
        self.omega = frequency
        self.scale = nn.Parameter(mean_magnitude(weight))

    def forward(self, weight: Tensor) -> Tensor:
        """Return scale·sign(sin(ω·w))."""
        binary: Tensor = StraightThroughSign.apply(torch.sin(self.omega * weight))
        return self.scale * binary

    def margins(self, weight: Tensor) -> Tensor:
        """How far each weight lies from the nearest multiple of π/ω, negative where its sign is."""
        return torch.asin(torch.sin(self.omega * weight)) / self.omega

    def signs(self, weight: Tensor) -> Tensor:
        """Where the sine is not negative."""
        return torch.sin(self.omega * weight) >= 0

    def fit(self, weight: Tensor) -> None:
        """Set the scale to mean|w|."""
        self.scale.data.copy_(mean_magnitude(weight))
