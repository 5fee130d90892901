"""Number format, memory format and compilation, with ``auto`` decided by the device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn

from rebnn_search.training.recipe import Precision
from rebnn_search.training.work import can_compile, forward_macs, most_channels, most_macs, multiplies_bfloat16

COMPILE_STEPS = 10_000
"""Training steps from which compiling is taken to earn its half a minute back."""

COMPILE_MACS = 5e12
"""Multiply-accumulates of a training's forward passes, a quarter of an hour on a core, from which two things are taken to pay on a
CPU (benchmarks/README.md): compiling, which takes up to a minute and makes convolutional networks some twice as fast, and products in
bfloat16 where there is a unit for them."""

WIDEST_CHANNELS_LAST = 256
"""Channels up to which a CPU's uncompiled convolutions are faster with channels last (benchmarks/README.md)."""

BACKEND: str | Callable[..., object] = "inductor"
"""torch.compile's."""


class Computing:
    """A recipe's precision on one device: that of training. Evaluation is plain float32, as the exported network computes.

    Args:
        precision: What the recipe says.
        device: Where it is computed.
        steps: Training steps to take, for which ``compile: auto`` decides.

    On a CPU nothing is compiled, or in another memory format than torch's own, by ``auto`` until `decide` has seen the network.

    Attributes:
        autocast: Whether the forward pass runs under bfloat16 autocast.
        memory_format: Of the images that are trained on; and of the weights, but where a CPU's ``auto`` chose it.
        products: Number format in which binary layers multiply while they are trained; None for that of their input.
        compile: Whether the network is compiled for training.
    """

    def __init__(self, precision: Precision, device: torch.device, steps: int = 0) -> None:
        gpu = device.type == "cuda"
        auto_dtype = "bfloat16" if gpu and torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
        self.device = device
        self.autocast = (auto_dtype if precision.dtype == "auto" else precision.dtype) == "bfloat16"
        channels_last = gpu if precision.channels_last == "auto" else precision.channels_last
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self._weights_format = self.memory_format
        self.compile = (gpu and steps >= COMPILE_STEPS) if precision.compile == "auto" else precision.compile
        self._compile_open = precision.compile == "auto" and not gpu
        self._memory_open = precision.channels_last == "auto" and not gpu
        self.products = torch.bfloat16 if precision.products == "bfloat16" else None
        self._products_open = (precision.dtype, precision.products) == ("auto", "auto") and not gpu

    def decide(self, network: nn.Module, channels: int, image_size: int, samples: int) -> None:
        """Decide what is still open: a CPU compiles what has enough to compute, and multiplies it in bfloat16 if it is made for that;
        what it does not compile it computes with channels last, unless layers are wide.

        A function of the recipe, and of whether the machine has a compiler that works and a unit for bfloat16.

        Args:
            network: What is trained.
            channels: Of the images.
            image_size: Side of the images.
            samples: How often a sample is seen in the whole training.
        """
        if self._compile_open or self._products_open:
            self._decide_by_length(network, channels, image_size, samples)
        if self._memory_open:
            self._set_format(not self.compile and 0 < most_channels(network) <= WIDEST_CHANNELS_LAST)

    def _decide_by_length(self, network: nn.Module, channels: int, image_size: int, samples: int) -> None:
        if samples * most_macs(network, image_size) < COMPILE_MACS:
            return
        enough = samples * forward_macs(network, channels, image_size) >= COMPILE_MACS
        if self._compile_open:
            self.compile = enough and can_compile()
        if self._products_open:
            self.products = torch.bfloat16 if enough and multiplies_bfloat16() else None

    def _set_format(self, channels_last: bool) -> None:
        # Of the images alone, from which layers take it: the weights stay, and so evaluation is to the bit the exported network's.
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format

    def state_dict(self) -> dict[str, object]:
        """What a training that goes on must compute alike."""
        return {"compiled": self.compile, "products": self.products, "channels_last": self.memory_format is torch.channels_last}

    def resume(self, state: Mapping[str, Any]) -> None:
        """Compute as the training that is gone on with did, where that was for this class to choose.

        Args:
            state: A `state_dict`; of earlier versions without what they did not choose.
        """
        if self._compile_open:
            self.compile = state.get("compiled", False) and can_compile()
        if self._products_open:
            self.products = state.get("products")
        if self._memory_open:
            self._set_format(state.get("channels_last", False))

    def context(self) -> AbstractContextManager[object]:
        """What the forward pass of training runs in."""
        return torch.autocast(self.device.type, torch.bfloat16) if self.autocast else nullcontext()

    def placed(self, network: nn.Module) -> nn.Module:
        """The network, moved to the device, its weights in their memory format."""
        # torch's annotations leave out the argument that its documentation has.
        return network.to(self.device, memory_format=self._weights_format)  # type: ignore[call-overload,no-any-return]

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
