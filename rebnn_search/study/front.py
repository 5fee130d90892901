"""The Pareto front: what no other beats in one objective without losing in another."""

from __future__ import annotations

import math
from collections.abc import Sequence

Values = Sequence[float]
"""Of all objectives, turned so that less is better."""


def dominates(a: Values, b: Values) -> bool:
    """Whether ``a`` is nowhere worse than ``b`` and somewhere better."""
    return all(x <= y for x, y in zip(a, b, strict=True)) and any(x < y for x, y in zip(a, b, strict=True))


def front_of(points: Sequence[Values]) -> list[int]:
    """The indices of the points that none dominates, in their order. Of equal points all are there or none."""
    front: list[int] = []
    # In this order only an earlier point can dominate a later one.
    for index in sorted(range(len(points)), key=lambda index: tuple(points[index])):
        if not any(dominates(points[other], points[index]) for other in front):
            front.append(index)
    return sorted(front)


def knee_of(points: Sequence[Values]) -> int:
    """The index of the point nearest to the best of all objectives at once, each scaled to 0 .. 1 over the points.

    A compromise: where one objective gets much better for little of another, that is the knee. Of equally near ones the first.

    Args:
        points: Of a front; at least one.
    """
    lows, highs = [min(axis) for axis in zip(*points, strict=True)], [max(axis) for axis in zip(*points, strict=True)]
    scales = [high - low or 1.0 for low, high in zip(lows, highs, strict=True)]

    def distance(point: Values) -> float:
        return math.hypot(*((x - low) / scale for x, low, scale in zip(point, lows, scales, strict=True)))

    return min(range(len(points)), key=lambda index: distance(points[index]))
