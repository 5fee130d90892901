"""The base of γ-strategies and their registry.

To add one: a module beside this file with a subclass of `GammaStrategy` under ``@GAMMA.register("name")``. Its constructor's
arguments are its options in a recipe (``gamma: {strategy: name, option: value}``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from rebnn_search.base.registry import Registry
from rebnn_search.method.binarize import channel_dims, sign
from rebnn_search.method.blocks import by_channels


class GammaStrategy(ABC):
    """How the balanced parameter γ of each output channel follows training, and what a step makes of it."""

    scale_unit = 1.0
    """What α is counted in where the optimizer steps: a step of Δ moves α by Δ·scale_unit."""

    def initial(self, channels: Tensor) -> Tensor:
        """Return γ^0 (C_out,), the γ of the first step: 0 unless a strategy says otherwise.

        Args:
            channels: Any (C_out,) tensor of the dtype and device to use.
        """
        return torch.zeros_like(channels)

    @abstractmethod
    def update(self, flip_fraction: Tensor, max_grad: Tensor, iteration: int, memory: Tensor | None = None) -> Tensor:
        """Return γ^{t+1} (C_out,), each >= 0, after the optimizer's step t → t+1.

        Args:
            flip_fraction: (C_out,) share of the channel's signs that the step flipped, (1/M)·‖b^t ⊛ b^{t+1} − 1‖₀.
            max_grad: (C_out,) max_j |G_j^t|, the largest gradient magnitude of iteration t.
            iteration: t, from 0.
            memory: (k, C_out) of this layer, to be changed in place; None where `memory` gave none.
        """

    def memory(self, channels: Tensor) -> Tensor | None:
        """Return what a strategy remembers of each channel between steps, (k, C_out), as it is before the first; most: nothing.

        Kept for each layer and saved in checkpoints; `update` is given it.

        Args:
            channels: Any (C_out,) tensor of the dtype and device to use.
        """
        return None

    def set_progress(self, fraction: float) -> None:  # noqa: B027 - nothing unless a strategy says otherwise
        """Note how much of training is done, from 0 to 1, at an epoch's start; most have no use for it."""

    def gradients(self, grad: Tensor, weight: Tensor, scale: Tensor, gamma: Tensor) -> Tensor:
        """Turn G into δw in place (Eq. 3.144) and return δα (Eq. 3.151 with the derivative of L_R): the paper's, unless overridden.

        Args:
            grad: (C_out, ...) G^t; overwritten, because under DDP it is a view of a bucket.
            weight: (C_out, ...) w^t.
            scale: (C_out, 1, ...) α^t.
            gamma: (C_out, 1, ...) γ^t.
        """
        return by_channels(_gradients, grad, weight, scale, gamma)


def _gradients(grad: Tensor, weight: Tensor, scale: Tensor, gamma: Tensor) -> Tensor:
    b = sign(weight)
    reconstruction = (weight - scale * b).mul_(gamma)
    d_scale = (grad - reconstruction).mul_(b).sum(channel_dims(weight), keepdim=True)
    grad.mul_(scale).mul_(weight.abs().le_(1)).add_(reconstruction)
    return d_scale


GAMMA: Registry[GammaStrategy] = Registry("γ-strategy")
"""γ-strategies by name."""
