"""ReCU's weights: standardised, clamped to a quantile that moves over training, then binarized."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from rebnn_search.method.binarize import StraightThroughSign, channel_dims
from rebnn_search.method.weights._base import WEIGHTS, WeightBinarizer, per_channel

TAU_START, TAU_END = 0.85, 0.99


@WEIGHTS.register("recu")
class ReCU(WeightBinarizer):
    """scale·sign(clamp(ẘ, −Q, Q)), ẘ the weights with each channel's mean taken off and divided by std/(2√2).

    Q = −mean|ẘ|·log(2 − 2τ) over the layer, a constant to the gradient, which is the identity through the sign and flows through
    clamp and standardisation. τ grows exponentially from 0.85 to 0.99 over training. The output scale is learned (Xu et al.,
    "ReCU", ICCV 2021).
    """

    def __init__(self, weight: Tensor) -> None:
        super().__init__(weight)
        self.scale = nn.Parameter(weight.detach().abs().mean(channel_dims(weight)).reshape(per_channel(weight)))
        self.tau = TAU_START

    def standardised(self, weight: Tensor) -> Tensor:
        """Return ẘ."""
        dims = channel_dims(weight)
        centred = weight - weight.mean(dims, keepdim=True)
        std = torch.sqrt(centred.var(dims, keepdim=True) + 1e-5)
        return centred / (std / (2 * math.sqrt(2)))

    def forward(self, weight: Tensor) -> Tensor:
        """Return scale·sign(clamp(ẘ, −Q, Q))."""
        standardised = self.standardised(weight)
        bound = (standardised.detach().abs().mean() * -math.log(2 - 2 * self.tau)).clamp(min=0)
        binary: Tensor = StraightThroughSign.apply(torch.clamp(standardised, -bound, bound))
        return self.scale * binary

    def signs(self, weight: Tensor) -> Tensor:
        """Where ẘ, not the weight itself, is not negative."""
        return weight >= weight.mean(channel_dims(weight), keepdim=True)

    def set_progress(self, fraction: float) -> None:
        """Set τ for the share of training done."""
        if not 0 <= fraction <= 1:
            raise ValueError(f"fraction must be within [0, 1], not {fraction}")
        self.tau = TAU_START * (TAU_END / TAU_START) ** fraction
