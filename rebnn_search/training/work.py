"""How much there is to compute, and what this machine has for it."""

from __future__ import annotations

import copy
import functools
import logging
import os
import shutil
import sys

import torch
from torch import Tensor, nn

logger = logging.getLogger(__name__)


def most_macs(network: nn.Module, image_size: int) -> float:
    """More multiply-accumulates than one forward pass of a sample can have: every weight at every pixel."""
    return float(sum(parameter.numel() for parameter in network.parameters())) * image_size**2


def most_channels(network: nn.Module) -> int:
    """Channels that the widest convolution gives out; 0 where there is none."""
    weights = (getattr(layer, "weight", None) for layer in network.modules())
    return max((len(weight) for weight in weights if isinstance(weight, Tensor) and weight.dim() == 4), default=0)


def forward_macs(network: nn.Module, channels: int, image_size: int) -> float:
    """Multiply-accumulates of the layers with weights in one forward pass of a sample (channels, image_size, image_size).

    The network is left as it was. One that fails has none: that is for its training to say.
    """
    found: list[int] = []

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        weight = getattr(layer, "weight", None)
        if isinstance(weight, Tensor) and weight.dim() >= 2 and isinstance(output, Tensor):
            found.append(output[0].numel() * weight[0].numel())

    tensor = next(network.parameters(), torch.empty(0))
    trial = copy.deepcopy(network).eval()
    for layer in trial.modules():
        layer.register_forward_hook(count)
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[tensor.device] if tensor.is_cuda else []):
            trial(torch.zeros(1, channels, image_size, image_size, device=tensor.device))
    except Exception:  # a network of the user's may fail in any way
        return 0.0
    return float(sum(found))


def has_compiler() -> bool:
    """Whether there is a C++ compiler by the name that torch.compile calls."""
    default = {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++")
    return shutil.which(os.environ.get("CXX", default)) is not None


def multiplies_bfloat16() -> bool:
    """Whether this machine's CPU has a unit that multiplies matrices in bfloat16 (AMX)."""
    if not hasattr(torch.cpu, "get_capabilities"):  # of earlier torch
        return False
    return bool(torch.cpu.get_capabilities().get("amx_bf16", False))


@functools.cache
def can_compile() -> bool:
    """Whether torch.compile works for this machine's CPU: with a compiler, and all that it needs. Tried once a process."""
    if not has_compiler():
        return False
    try:
        torch.compile(torch.neg)(torch.ones(2))
    except Exception as error:  # no headers, no space, no permission: training goes on without
        logger.warning("networks are not compiled: torch.compile fails on this machine (%s)", type(error).__name__)
        return False
    finally:
        torch.compiler.reset()
    return True
