"""IR-Net's weights: balanced, standardised, scaled by a power of two; a sign whose stand-in gradient sharpens over training."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rebnn_search.method.binarize import Context, channel_dims, sign
from rebnn_search.method.weights.base import WEIGHTS, WeightBinarizer


class ErrorDecay(torch.autograd.Function):
    """sign(x) with the derivative of k·tanh(t·x) as gradient, k = max(1/t, 1): IR-Net's error decay estimator."""

    @staticmethod
    def forward(ctx: Context, x: Tensor, t: Tensor) -> Tensor:
        """Binarize ``x``, any shape; ``t`` is a scalar tensor."""
        ctx.save_for_backward(x, t)
        return sign(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Context, g: Tensor) -> tuple[Tensor, None]:
        """Return g·k·t·(1 − tanh²(t·x))."""
        x, t = ctx.saved_tensors
        k = (1 / t).clamp(min=1)
        return g * (k * t) * (1 - torch.tanh(t * x).square()), None


@WEIGHTS.register("irnet")
class IRNet(WeightBinarizer):
    """2^s·sign(ẘ), ẘ the weights with each channel's mean taken off and divided by its standard deviation.

    s = round(log2(mean|ẘ|)) of each channel, a constant to the gradient, which flows through the standardisation (Libra parameter
    binarization). Through the sign it is that of k·tanh(t·ẘ) (error decay estimator): t = t_min·(t_max/t_min)^p grows with the share
    p of training that is done, set at each epoch's start; k = max(1/t, 1) (Qin et al., "Forward and Backward Information Retention
    for Accurate Binary Neural Networks", CVPR 2020: Libra-PB and EDE, whose t is T_min·10^{(i/N)·log(T_max/T_min)}).

    Args:
        weight: The latent weights (C_out, ...).
        t_min: t at p = 0; there the stand-in is nearly the identity.
        t_max: t at p = 1; there it is nearly a step.

    Raises:
        ValueError: If not 0 < t_min <= t_max, both finite.
    """

    t: Tensor

    def __init__(self, weight: Tensor, *, t_min: float = 0.1, t_max: float = 10.0) -> None:
        super().__init__(weight)
        if not 0 < t_min <= t_max < math.inf:
            raise ValueError(f"t_min and t_max must be finite with 0 < t_min <= t_max, not {t_min} and {t_max}")
        self.t_min, self.t_max = t_min, t_max
        # A tensor, as ReCU's τ: a compiled graph holds a Python number as a constant. Not persistent: the epoch gives it.
        self.register_buffer("t", torch.full((), t_min, dtype=weight.dtype, device=weight.device), persistent=False)

    def standardised(self, weight: Tensor) -> Tensor:
        """Return ẘ."""
        centred = self.margins(weight)
        return centred / centred.std(channel_dims(weight), keepdim=True)

    def forward(self, weight: Tensor) -> Tensor:
        """Return 2^s·sign(ẘ)."""
        standardised = self.standardised(weight)
        magnitude = standardised.detach().abs().mean(channel_dims(weight), keepdim=True)
        binary: Tensor = ErrorDecay.apply(standardised, self.t)
        return torch.exp2(torch.log2(magnitude).round()) * binary

    def margins(self, weight: Tensor) -> Tensor:
        """How far each weight lies above its channel's mean, where its sign turns."""
        return weight - weight.mean(channel_dims(weight), keepdim=True)

    def signs(self, weight: Tensor) -> Tensor:
        """Where ẘ, not the weight itself, is not negative."""
        return self.margins(weight) >= 0

    def set_progress(self, fraction: float) -> None:
        """Set t for the share of training done."""
        if not 0 <= fraction <= 1:
            raise ValueError(f"fraction must be within [0, 1], not {fraction}")
        self.t.fill_(self.t_min * (self.t_max / self.t_min) ** fraction)
