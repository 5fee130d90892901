"""ReSTE's weights: a sign whose stand-in gradient is a power function's, rectified step by step towards the sign's own."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rebnn_search.method.binarize import Context, sign
from rebnn_search.method.weights.base import WEIGHTS, WeightBinarizer


class PowerSign(torch.autograd.Function):
    """sign(z) with the derivative of sign(z)·|z|^{1/o} as gradient, cut where it is large or far: see `ReSTE`."""

    @staticmethod
    def forward(ctx: Context, z: Tensor, o: Tensor, threshold: Tensor, near: Tensor) -> Tensor:
        """Binarize ``z``, any shape; the others are scalar tensors."""
        ctx.save_for_backward(z, o, threshold, near)
        return sign(z)

    @staticmethod
    @once_differentiable
    def backward(ctx: Context, g: Tensor) -> tuple[Tensor, None, None, None]:
        """Return the rectified gradient."""
        z, o, threshold, near = ctx.saved_tensors
        magnitude = z.abs()
        slope = torch.maximum(magnitude, near).pow((1 - o) / o) / o
        slope = torch.where(magnitude <= near, near.pow(1 / o) / near, slope)
        return g * slope * (magnitude <= threshold), None, None, None


@WEIGHTS.register("reste")
class ReSTE(WeightBinarizer):
    """mean|w|·sign(w), the mean over the layer, with the derivative of f(w) = sign(w)·|w|^{1/o} as the sign's gradient.

    f'(w) = (1/o)·|w|^{(1−o)/o}. It is 0 beyond ``threshold``, and within ``near`` of 0, where it has no bound, the chord's slope,
    f(near)/near. o = 1 + (1 − cos(π·p/2))·(o_end − 1) over the share p of training that is done, set at each epoch's start: from the
    straight-through estimator, o = 1, towards the sign. The gradient flows through mean|w| too, as in the released code (Wu et al.,
    "Estimator Meets Equilibrium Perspective: A Rectified Straight Through Estimator for Binary Neural Networks Training", ICCV 2023).

    Args:
        weight: The latent weights (C_out, ...).
        o_end: o at p = 1.
        threshold: Largest |w| that has a gradient.
        near: Largest |w| whose gradient is the chord's.

    Raises:
        ValueError: If o_end is below 1, or not 0 < near < threshold, or one is not finite.
    """

    o: Tensor

    def __init__(self, weight: Tensor, *, o_end: float = 3.0, threshold: float = 1.5, near: float = 0.1) -> None:
        super().__init__(weight)
        if not 1 <= o_end < math.inf:
            raise ValueError(f"o_end must be finite and >= 1, not {o_end}")
        if not 0 < near < threshold < math.inf:
            raise ValueError(f"near and threshold must be finite with 0 < near < threshold, not {near} and {threshold}")
        self.o_end, self.threshold, self.near = o_end, threshold, near
        # A tensor, as ReCU's τ: a compiled graph holds a Python number as a constant. Not persistent: the epoch gives it.
        self.register_buffer("o", torch.ones((), dtype=weight.dtype, device=weight.device), persistent=False)

    def forward(self, weight: Tensor) -> Tensor:
        """Return mean|w|·sign(w)."""
        bounds = (self.o.new_full((), bound) for bound in (self.threshold, self.near))
        binary: Tensor = PowerSign.apply(weight, self.o, *bounds)
        return weight.abs().mean() * binary

    def set_progress(self, fraction: float) -> None:
        """Set o for the share of training done."""
        if not 0 <= fraction <= 1:
            raise ValueError(f"fraction must be within [0, 1], not {fraction}")
        self.o.fill_(1 + (1 - math.cos(math.pi * fraction / 2)) * (self.o_end - 1))
