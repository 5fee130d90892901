"""The base of scaling-factor inits and their registry.

To add one: a subclass of `ScaleInit` under ``@SCALE_INIT.register("name")`` in a module beside this file, found by itself. Its
constructor's arguments are its options in a recipe.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from rebnn_search.base.registry import Registry

SCALE_FLOOR = 1e-6
"""The least a scaling factor may be, at its init and after every step: α lives in R+."""


class ScaleInit(ABC):
    """What the scaling factors are before the first step."""

    @abstractmethod
    def scale(self, weight: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return α (C_out,) for latent weights (C_out, ...). What is below `SCALE_FLOOR` is raised to it by the caller.

        Args:
            weight: The latent weights as stage two begins with them.
            generator: Randomness, for inits that draw; on the CPU.
        """


SCALE_INIT: Registry[ScaleInit] = Registry("scaling-factor init")
"""Scaling-factor inits by name."""
