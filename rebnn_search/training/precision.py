"""Number format, memory format and compilation, with ``auto`` decided by the device."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

from rebnn_search.training.recipe import Precision

COMPILE_STEPS = 10_000
"""Training steps from which compiling is taken to earn its half a minute back."""


class Computing:
    """A recipe's precision on one device.

    Args:
        precision: What the recipe says.
        device: Where it is computed.
        steps: Training steps to take, for which ``compile: auto`` decides.

    Attributes:
        autocast: Whether the forward pass runs under bfloat16 autocast.
        memory_format: Of images and network.
        compile: Whether the network is compiled.
    """

    def __init__(self, precision: Precision, device: torch.device, steps: int = 0) -> None:
        gpu = device.type == "cuda"
        auto_dtype = "bfloat16" if gpu and torch.cuda.is_bf16_supported() else "float32"
        self.device = device
        self.autocast = (auto_dtype if precision.dtype == "auto" else precision.dtype) == "bfloat16"
        channels_last = gpu if precision.channels_last == "auto" else precision.channels_last
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.compile = (gpu and steps >= COMPILE_STEPS) if precision.compile == "auto" else precision.compile

    def context(self) -> AbstractContextManager[object]:
        """What the forward pass runs in."""
        return torch.autocast(self.device.type, torch.bfloat16) if self.autocast else nullcontext()

    def compiled(self, network: nn.Module) -> nn.Module:
        """The network, compiled if the recipe wants it."""
        if not self.compile:
            return network
        compiled: nn.Module = torch.compile(network)  # type: ignore[assignment]
        return compiled
