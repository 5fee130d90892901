"""What a graph is made of while it is made: values with the affine map they still wait for, and signs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from torch import Tensor

Array = np.ndarray[Any, Any]
Sums = Literal["bits", "int8", "float32"]
"""What binary layers compute in."""
LEAST = np.finfo(np.float32).tiny
"""Smaller numbers may count as zero, as a processor is set."""


class CannotLowerError(Exception):
    """A network holds what has no place in the graph; the message says what."""


@dataclass
class Value:
    """A float32 value of the graph, and the affine map per channel that is still to be applied to it.

    Attributes:
        node: An output of an operator, (N, C, ...).
        scale: a, (C) float64; None is 1.
        shift: b, (C) float64; None is 0.
    """

    node: Any
    scale: Array | None = None
    shift: Array | None = None
    _made: Any = None

    @property
    def rank(self) -> int:
        """Dimensions, the batch included."""
        return len(self.node.get_partial_shape())

    @property
    def channels(self) -> int:
        """C."""
        return int(self.node.get_partial_shape()[1].get_length())

    def then(self, scale: Array | float = 1.0, shift: Array | float = 0.0) -> Value:
        """The same, scaled and then shifted once more."""
        ones, zeros = np.ones(self.channels), np.zeros(self.channels)
        before = ones if self.scale is None else self.scale, zeros if self.shift is None else self.shift
        return Value(self.node, before[0] * scale, before[1] * scale + shift)


@dataclass
class Signs:
    """sign(x + shift): as bits or int8 for a binary layer, as ±1 in float32 for any other.

    Attributes:
        name: Of the `RSign`.
        x: The value before.
        shift: (C) float32.
    """

    name: str
    x: Any
    shift: Array
    _made: dict[str, Any] = field(default_factory=dict)

    @property
    def threshold(self) -> Array:
        """(C) float32, the sign is +1 where x is above it: sign(0) = +1, and FakeQuantize's upper level begins above its limit."""
        below = np.nextafter(-self.shift, np.float32(-np.inf))
        return np.where(np.abs(below) < LEAST, -LEAST, below).astype(np.float32)


@dataclass(frozen=True)
class Lowered:
    """A graph from normalised images to logits.

    Attributes:
        model: The OpenVINO model, of a fixed batch size.
        signs: Of each `RSign` before a binary layer, its name, the output before it and its thresholds.
        binary: Binary layers whose sums are whole numbers, in what was asked for.
        real: Binary layers that do not, with the reason.
    """

    model: Any
    signs: Sequence[tuple[str, Any, Array]]
    binary: Sequence[str]
    real: Mapping[str, str]


def flat(tensor: Tensor | None) -> Array:
    """A layer's tensor as one row."""
    assert tensor is not None
    found: Array = tensor.detach().reshape(-1).cpu().numpy()
    return found


def shaped(values: Array, rank: int) -> Array:
    """Values of channels, (C), to go with a tensor of so many dimensions, (1, C, 1, ...)."""
    found: Array = np.reshape(values, (1, -1, *[1] * (rank - 2)))
    return found


def pair(value: Any, what: str) -> list[int]:
    """A convolution's or pool's sizes.

    Raises:
        CannotLowerError: If they are no two numbers.
    """
    found = [value] * 2 if isinstance(value, int) else list(value) if isinstance(value, tuple) else []
    if len(found) != 2 or not all(type(part) is int for part in found):
        raise CannotLowerError(f"a {what} of {value!r}")
    return found
