"""Whether a network fits into memory: asked before anything is allocated, and said in one sentence where it does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import torch
from torch import nn

from rebnn_search.config import UserError

COPIES = 2
"""Of every parameter while a network trains, at the least: itself and its gradient."""
CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
NO_ROOM = ("not enough memory", "can't allocate memory")
"""What torch's RuntimeError says where the machine has no room for a tensor."""
ALLOCATION = (*NO_ROOM, "Storage size calculation overflowed")
"""What torch's RuntimeError says where the machine, or arithmetic, has no room for a tensor."""

BEYOND_64_BITS = (
    "Storage size calculation overflowed",
    "Overflow when unpacking",
    "int too large",
    "integer multiplication overflow",
)
"""What Python and torch say of sizes that are no numbers of theirs."""


def check_room(build: Callable[[], nn.Module], device: torch.device) -> None:
    """Count a network's parameters without allocating them, and compare with the memory there is, if it can be made so.

    Args:
        build: Makes the network; here on torch's meta device.
        device: Where it is to be trained.

    Raises:
        ValueError: If training it takes more than there is, naming both in GB; or as ``build`` does.
    """
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            sizes = [(p.numel(), p.element_size()) for p in build().parameters()]
    except (RuntimeError, OverflowError, TypeError) as error:
        if not isinstance(error, OverflowError) and not any(sign in str(error) for sign in BEYOND_64_BITS):
            return  # a network that looks at values as it is made, as Tensor.item does, cannot be made without memory
        raise ValueError(f"is too large for any machine: {str(error).splitlines()[0][:200]}") from None
    needed, there = COPIES * sum(count * size for count, size in sizes), memory_of(device)
    if needed > there:
        raise ValueError(
            f"has {sum(count for count, _ in sizes):,} parameters: training it takes {needed / 1e9:,.1f} GB at the least, and "
            f"this machine's {'GPU' if device.type == 'cuda' else 'memory'} has {there / 1e9:,.1f} GB"
        )


def memory_of(device: torch.device) -> int:
    """Bytes of memory, used or not, that a device has."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    total = int(psutil.virtual_memory().total)
    try:
        return min(total, int(CGROUP_LIMIT.read_text(encoding="ascii")))  # of a container
    except (OSError, ValueError):
        return total


def free_memory() -> int:
    """Bytes of memory that are still to be had here: the machine's, or what a container's limit leaves of it, if that is less."""
    free = int(psutil.virtual_memory().available)
    try:
        limit, used = (
            int(path.read_text(encoding="ascii")) for path in (CGROUP_LIMIT, CGROUP_LIMIT.with_name("memory.current"))
        )
        counts = dict(line.split() for line in CGROUP_LIMIT.with_name("memory.stat").read_text(encoding="ascii").splitlines())
        given_back = int(counts["inactive_file"])  # pages of files, which the kernel drops where memory is wanted
    except (OSError, ValueError, KeyError):
        return min(free, memory_of(torch.device("cpu")))
    return max(0, min(free, limit - used + given_back))


@contextmanager
def explain_memory_errors(what: str) -> Iterator[None]:
    """Turn an allocation that failed on the CPU into a sentence. A GPU's is left: others share it, and may soon leave it.

    Raises:
        UserError: Names what was being done.
    """
    try:
        yield
    except MemoryError as error:
        raise UserError(f"{what}: the machine's memory is not enough for it") from error
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        if not any(sign in str(error) for sign in ALLOCATION):
            raise
        raise UserError(f"{what}: the machine's memory is not enough for it: {str(error).splitlines()[0][:300]}") from error
