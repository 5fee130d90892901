"""Compares an engine with torch layer by layer: where rounding turns a sign, the network goes on with the engine's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from rebnn_search.export import ModelInfo
from rebnn_search.method.layers import RSign


def logits(network: nn.Module, info: ModelInfo, raw: torch.Tensor) -> torch.Tensor:
    """The trained network's own, on images normalised by hand."""
    mean = torch.tensor(info.mean)[None, :, None, None]
    std = torch.tensor(info.std)[None, :, None, None]
    with torch.no_grad():
        found: torch.Tensor = network((raw - mean) / std)
    return found


def with_signs(
    network: nn.Module, info: ModelInfo, raw: torch.Tensor, positive: Sequence[np.ndarray[Any, Any]]
) -> torch.Tensor:
    """The network's logits with another engine's signs of activations, which may differ from its own for what is nearly zero."""
    layers = [module for module in network.modules() if isinstance(module, RSign)]
    assert len(layers) == len(positive) > 0
    engine = {layer: torch.from_numpy(found).float() * 2 - 1 for layer, found in zip(layers, positive, strict=True)}

    def take(layer: nn.Module, inputs: tuple[torch.Tensor], own: torch.Tensor) -> torch.Tensor:
        (x,) = inputs
        shifted = x + layer.shift.view(1, -1, *[1] * (x.ndim - 2))  # type: ignore[operator, union-attr]
        assert shifted[own != engine[layer]].abs().le(1e-5 * x.abs().max()).all()
        return engine[layer]

    hooks = [layer.register_forward_hook(take) for layer in layers]
    try:
        return logits(network, info, raw)
    finally:
        for hook in hooks:
            hook.remove()
