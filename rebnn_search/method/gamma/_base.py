"""The base of γ-strategies and their registry.

To add one: a module beside this file with a subclass of `GammaStrategy` under ``@GAMMA.register("name")``, imported in
``__init__``. Its constructor's arguments are its options in a recipe (``gamma: {strategy: name, option: value}``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from rebnn_search.method.registry import Registry


class GammaStrategy(ABC):
    """How the balanced parameter γ of each output channel follows training."""

    def initial(self, channels: Tensor) -> Tensor:
        """Return γ^0 (C_out,), the γ of the first step: 0 unless a strategy says otherwise.

        Args:
            channels: Any (C_out,) tensor of the dtype and device to use.
        """
        return torch.zeros_like(channels)

    @abstractmethod
    def update(self, flip_fraction: Tensor, max_grad: Tensor, iteration: int) -> Tensor:
        """Return γ^{t+1} (C_out,), each >= 0, after the optimizer's step t → t+1.

        Args:
            flip_fraction: (C_out,) share of the channel's signs that the step flipped, (1/M)·‖b^t ⊛ b^{t+1} − 1‖₀.
            max_grad: (C_out,) max_j |G_j^t|, the largest gradient magnitude of iteration t.
            iteration: t, from 0.
        """


GAMMA: Registry[GammaStrategy] = Registry("γ-strategy")
"""γ-strategies by name."""
