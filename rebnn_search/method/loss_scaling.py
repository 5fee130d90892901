"""What `torch.amp.GradScaler` leaves to optimizers that unscale inside their step (``fused=True``): announced by two attributes."""

from __future__ import annotations

import torch
from torch import Tensor


def pending_scale(optimizer: torch.optim.Optimizer) -> Tensor | None:
    """What the gradients are still multiplied by when a step begins, a scalar tensor; None where they are unscaled already."""
    scale: Tensor | None = getattr(optimizer, "grad_scale", None)
    return scale


def overflowed(optimizer: torch.optim.Optimizer) -> bool:
    """Whether a gradient is inf or NaN, so that the step will change nothing.

    A device synchronisation where the optimizer unscales itself, none elsewhere: there the scaler does not call the step at all.
    """
    found = getattr(optimizer, "found_inf", None)
    return found is not None and bool(found)
