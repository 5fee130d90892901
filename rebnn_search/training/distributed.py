"""The process group a trainer finds itself in: one process, or several that train one model together."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from rebnn_search.config import UserError

T = TypeVar("T")


@dataclass(frozen=True)
class World:
    """Which of how many processes this is."""

    rank: int = 0
    size: int = 1

    @classmethod
    def current(cls) -> World:
        """The initialised process group, or one process alone."""
        if dist.is_available() and dist.is_initialized():
            return cls(dist.get_rank(), dist.get_world_size())
        return cls()

    def sum(self, values: Tensor) -> Tensor:
        """Add up over the processes, in place."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def least(self, value: Tensor) -> Tensor:
        """Take the least over the processes, in place."""
        if self.size > 1:
            dist.all_reduce(value, op=dist.ReduceOp.MIN)
        return value

    def share(self, tensors: Iterable[Tensor]) -> None:
        """Give every process rank 0's values, in place."""
        if self.size > 1:
            for tensor in tensors:
                dist.broadcast(tensor, src=0)

    def from_first(self, make: Callable[[], T]) -> T:
        """What rank 0 makes, on every process: plain values and tensors."""
        if self.size == 1:
            return make()
        box: list[Any] = [make() if self.rank == 0 else None]
        dist.broadcast_object_list(box, src=0)
        made: T = box[0]
        return made


def pick_device(wanted: str | None) -> torch.device:
    """The wanted device; without a wish the first GPU this process sees, else the CPU.

    Raises:
        UserError: If torch knows no such device or cannot use it here.
    """
    if wanted is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(wanted)
        # The meta device has no values, MPS no float64, in which sums are kept.
        torch.empty(1, dtype=torch.float64, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        raise UserError(f"device {wanted!r}: cannot be used here: {str(error).splitlines()[0]}") from None
    return device
