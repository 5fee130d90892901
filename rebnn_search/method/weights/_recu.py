"""ReCU's weights: standardised, clamped to a quantile that moves over training, then binarized."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from rebnn_search.method.binarize import StraightThroughSign, channel_dims
from rebnn_search.method.weights.base import WEIGHTS, WeightBinarizer, mean_magnitude


@WEIGHTS.register("recu")
class ReCU(WeightBinarizer):
    """scale·sign(clamp(ẘ, −Q, Q)), ẘ the weights with each channel's mean taken off and divided by std/(2√2).

    Q = −mean|ẘ|·log(2 − 2τ) over the layer, a constant to the gradient, which is the identity through the sign and flows through
    clamp and standardisation. τ = A·e^p + B over the share p of training that is done: the schedule of the released code, which sets
    it at each epoch's start, p = epoch/epochs, from 0.85 towards 0.99; whoever trains says p by `set_progress`. The output scale is
    learned and begins at mean|w| (Xu et al., "ReCU", ICCV 2021).

    Args:
        weight: The latent weights (C_out, ...).
        tau_start: τ at p = 0, within (0.5, 1): at 0.5 every weight would be clamped to 0, at 1 none at all.
        tau_end: τ at p = 1, within (0.5, 1).

    Raises:
        ValueError: If an end of the schedule is not within (0.5, 1).
    """

    tau: Tensor

    def __init__(self, weight: Tensor, *, tau_start: float = 0.85, tau_end: float = 0.99) -> None:
        super().__init__(weight)
        for name, tau in (("tau_start", tau_start), ("tau_end", tau_end)):
            if not 0.5 < tau < 1:
                raise ValueError(f"{name} must be above 0.5 and below 1, not {tau}")
        self.tau_start, self.tau_end = tau_start, tau_end
        self.scale = nn.Parameter(mean_magnitude(weight))
        # A tensor, because a compiled graph holds a Python number as a constant; not persistent, because the epoch gives it.
        self.register_buffer("tau", torch.full((), tau_start, dtype=weight.dtype, device=weight.device), persistent=False)

    def standardised(self, weight: Tensor) -> Tensor:
        """Return ẘ."""
        dims = channel_dims(weight)
        centred = self.margins(weight)
        std = torch.sqrt(centred.var(dims, keepdim=True) + 1e-5)
        return centred / (std / (2 * math.sqrt(2)))

    def forward(self, weight: Tensor) -> Tensor:
        """Return scale·sign(clamp(ẘ, −Q, Q))."""
        standardised = self.standardised(weight)
        bound = (standardised.detach().abs().mean() * -torch.log(2 - 2 * self.tau)).clamp(min=0)
        binary: Tensor = StraightThroughSign.apply(torch.clamp(standardised, -bound, bound))
        return self.scale * binary

    def margins(self, weight: Tensor) -> Tensor:
        """How far each weight lies above its channel's mean, where its sign turns."""
        return weight - weight.mean(channel_dims(weight), keepdim=True)

    def signs(self, weight: Tensor) -> Tensor:
        """Where ẘ, not the weight itself, is not negative."""
        return weight >= weight.mean(channel_dims(weight), keepdim=True)

    def set_progress(self, fraction: float) -> None:
        """Set τ for the share of training done."""
        if not 0 <= fraction <= 1:
            raise ValueError(f"fraction must be within [0, 1], not {fraction}")
        self.tau.fill_(self.tau_start + (self.tau_end - self.tau_start) * math.expm1(fraction) / math.expm1(1))

    def fit(self, weight: Tensor) -> None:
        """Set the scale to mean|w|."""
        self.scale.data.copy_(mean_magnitude(weight))
