"""Sign, and the gradients that stand in for its own.

Notation of the package (shapes in brackets): w ``weight`` [C_out, ...] latent weights; b = sign(w) binary weights; α ``scale``
[C_out, 1, ...] scaling factors; ŵ = α·b ``binarized``; G = ∂L_S/∂ŵ ``grad`` of the task loss; γ ``gamma`` [C_out] balanced
parameter; M the number of weights of one output channel.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class Context(Protocol):
    """What autograd hands a function's forward and backward pass: torch's own class does not declare it."""

    saved_tensors: tuple[Tensor, ...]
    needs_input_grad: tuple[bool, ...]

    def save_for_backward(self, *tensors: Tensor) -> None:
        """Keep tensors for the backward pass."""


def sign(x: Tensor) -> Tensor:
    """The sign of each element in {-1, +1}, any shape; sign(0) = +1, never 0."""
    return _to_signs(x.detach().clone())


def _to_signs(x: Tensor) -> Tensor:
    """Turn x into its sign, in place: on a CPU several times as fast as a comparison that makes booleans, or `torch.where`."""
    return x.ge_(0).mul_(2).sub_(1)


def channel_dims(weight: Tensor) -> tuple[int, ...]:
    """All dimensions of a weight but the first, its output channels."""
    return tuple(range(1, weight.dim()))


class ShiftedSign(torch.autograd.Function):
    """sign(x + shift), with the derivative of Bi-Real Net's piecewise polynomial backward.

    Forward: sign(u), u = x + shift. Backward: g·max(0, 2 − 2|u|), to x and, summed over its channel, to shift (Liu et al.,
    "Bi-Real Net", ECCV 2018; the learnable shift is ReActNet's, ECCV 2020). Only x is kept for the backward pass.
    """

    @staticmethod
    def forward(ctx: Context, x: Tensor, shift: Tensor) -> Tensor:
        """Binarize ``x`` (N, C, ...) after the shift (1, C, ...)."""
        ctx.save_for_backward(x, shift)
        return _to_signs(x + shift)

    @staticmethod
    @once_differentiable
    def backward(ctx: Context, g: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradients of x and of the shift."""
        x, shift = ctx.saved_tensors
        dx = (x + shift).abs_().mul_(-2).add_(2).clamp_(min=0).mul_(g)
        return dx, dx.sum((0, *range(2, x.dim())), keepdim=True, dtype=shift.dtype)


class ScaledSign(torch.autograd.Function):
    """ŵ = α·sign(w), with G = ∂L/∂ŵ arriving unchanged in ``weight.grad``.

    The step that turns G into Eqs. 3.144 and 3.151 needs the reduced, unscaled gradient of the whole batch, so it waits for the
    optimizer's step (`rebnn_search.method.ReBNN`).
    """

    @staticmethod
    def forward(ctx: Context, weight: Tensor, scale: Tensor) -> Tensor:
        """Binarize ``weight`` (C_out, ...) with ``scale`` (C_out, 1, ...)."""
        return sign(weight).mul_(scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Context, g: Tensor) -> tuple[Tensor, None]:
        """Pass G on to the weight; the scale's gradient is made with the weight's."""
        return g, None


class ClippedSign(torch.autograd.Function):
    """scale·sign(w), with the clipped straight-through gradient G·1[|w| ≤ 1], not multiplied by the scale."""

    @staticmethod
    def forward(ctx: Context, weight: Tensor, scale: Tensor) -> Tensor:
        """Binarize ``weight`` (C_out, ...) with ``scale`` (C_out, 1, ...), which is taken as a constant."""
        ctx.save_for_backward(weight)
        return sign(weight).mul_(scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Context, g: Tensor) -> tuple[Tensor, None]:
        """Return the clipped gradient."""
        (weight,) = ctx.saved_tensors
        return weight.abs().le_(1).mul_(g), None


class StraightThroughSign(torch.autograd.Function):
    """sign(w) with the identity as gradient."""

    @staticmethod
    def forward(ctx: Context, weight: Tensor) -> Tensor:
        """Binarize ``weight``, any shape."""
        return sign(weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Context, g: Tensor) -> Tensor:
        """Pass the gradient on."""
        return g
