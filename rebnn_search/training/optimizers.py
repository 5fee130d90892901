"""Optimizers by name: torch's, with the options a recipe may give.

They are fused: a kernel a tensor in place of ten, which on a CPU takes a fifth to a half of the time.

To add one: a class with ``build(groups)`` under ``@OPTIMIZERS.register("name")``; its constructor's arguments are its options.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import nn

from rebnn_search.base.registry import Registry

OPTIMIZERS: Registry[OptimizerOptions] = Registry("optimizer")
"""Optimizers by name."""


class OptimizerOptions(ABC):
    """The options of an optimizer.

    Args:
        lr: Learning rate at the schedule's factor 1.
        weight_decay: Added to the gradient (Adam, SGD) or taken off the weight (AdamW), of convolutions' and linear maps' weights
            alone: never of shifts, slopes, norms or scaling factors.

    Raises:
        ValueError: If lr is not above 0 or weight_decay below 0.
    """

    def __init__(self, *, lr: float = 1e-3, weight_decay: float = 0.0) -> None:
        if not (math.isfinite(lr) and lr > 0):
            raise ValueError(f"lr must be finite and > 0, not {lr}")
        if not (math.isfinite(weight_decay) and weight_decay >= 0):
            raise ValueError(f"weight_decay must be finite and >= 0, not {weight_decay}")
        self.lr, self.weight_decay = lr, weight_decay

    @abstractmethod
    def build(self, groups: list[dict[str, object]]) -> torch.optim.Optimizer:
        """Return the optimizer of parameter groups, which hold their own weight decay."""


@OPTIMIZERS.register("adam")
class Adam(OptimizerOptions):
    """Adam, as the published runs use it."""

    def build(self, groups: list[dict[str, object]]) -> torch.optim.Optimizer:
        """Return `torch.optim.Adam`."""
        return torch.optim.Adam(groups, lr=self.lr, fused=True)


@OPTIMIZERS.register("adamw")
class AdamW(OptimizerOptions):
    """Adam with decoupled weight decay."""

    def build(self, groups: list[dict[str, object]]) -> torch.optim.Optimizer:
        """Return `torch.optim.AdamW`."""
        return torch.optim.AdamW(groups, lr=self.lr, fused=True)


@OPTIMIZERS.register("sgd")
class SGD(OptimizerOptions):
    """Stochastic gradient descent with momentum.

    Raises:
        ValueError: If momentum is not within [0, 1), or as `OptimizerOptions`.
    """

    def __init__(self, *, lr: float = 1e-1, weight_decay: float = 0.0, momentum: float = 0.9, nesterov: bool = False) -> None:
        super().__init__(lr=lr, weight_decay=weight_decay)
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum must be within [0, 1), not {momentum}")
        if nesterov and momentum == 0:
            raise ValueError("nesterov needs a momentum above 0")
        self.momentum, self.nesterov = momentum, nesterov

    def build(self, groups: list[dict[str, object]]) -> torch.optim.Optimizer:
        """Return `torch.optim.SGD`."""
        return torch.optim.SGD(groups, lr=self.lr, momentum=self.momentum, nesterov=self.nesterov, fused=True)


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Split a model's parameters into those that decay, weights of two and more dimensions, and the rest."""
    decay: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        (decay if parameter.dim() >= 2 and name.endswith("weight") else rest).append(parameter)
    return [{"params": decay, "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0.0}]
