"""Number format, memory format and compilation, with ``auto`` decided by the device."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

from rebnn_search.training.recipe import Precision

COMPILE_STEPS = 10_000
"""Training steps from which compiling is taken to earn its half a minute back."""

BACKEND: str | Callable[..., object] = "inductor"
"""torch.compile's."""


class Computing:
    """A recipe's precision on one device: that of training. Evaluation is plain float32, as the exported network computes.

    Args:
        precision: What the recipe says.
        device: Where it is computed.
        steps: Training steps to take, for which ``compile: auto`` decides.

    Attributes:
        autocast: Whether the forward pass runs under bfloat16 autocast.
        memory_format: Of images and network.
        compile: Whether the network is compiled for training.
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
        """What the forward pass of training runs in."""
        return torch.autocast(self.device.type, torch.bfloat16) if self.autocast else nullcontext()

    def placed(self, network: nn.Module) -> nn.Module:
        """The network, moved to the device in its memory format."""
        # torch's annotations leave out the argument that its documentation has.
        return network.to(self.device, memory_format=self.memory_format)  # type: ignore[call-overload,no-any-return]

    def compiled(self, network: nn.Module) -> nn.Module:
        """The network, compiled if the recipe wants it, as it would be in a fresh process.

        Whatever torch had compiled in this process is forgotten: how often it will compile a function, and which sizes it takes for
        changing ones, it counts over the process's life, and a trial must not depend on the trials before it. Sizes are constants
        in what is compiled, so that no result depends on which came first.
        """
        if not self.compile:
            return network
        torch.compiler.reset()
        compiled: nn.Module = torch.compile(network, dynamic=False, backend=BACKEND)  # type: ignore[assignment]
        return compiled
