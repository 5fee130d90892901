"""What ``--preset`` means: this table is all of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Preset:
    """How the time is used; it is kept in each.

    Attributes:
        searched: Whether a recipe is searched, where the time has room for that.
        seeds: Last trainings, where ``--seeds`` does not say.
        length: Of the epochs that a training has at most, the share that it gets at most.
        finalists: Of a search's trials, how many are compared at the end.
        repeats: Shuffles of each column of a table.
        real_weights: Whether the same network is trained in real weights to compare.
        teachers: Networks in real weights that are distilled; 0 for none.
        summary: For ``--help``.
    """

    searched: bool
    seeds: int
    length: float
    finalists: int
    repeats: int
    real_weights: bool
    teachers: int
    summary: str


PRESETS = {
    "fast": Preset(
        searched=False, seeds=1, length=1 / 3, finalists=1, repeats=5, real_weights=False, teachers=0,
        summary="no search, a third of the epochs, done before the time is over",
    ),
    "balanced": Preset(
        searched=True, seeds=3, length=1.0, finalists=3, repeats=10, real_weights=True, teachers=0,
        summary="a search, then the best recipe on several seeds",
    ),
    "best": Preset(
        searched=True, seeds=3, length=1.0, finalists=5, repeats=20, real_weights=True, teachers=5,
        summary="likewise, then an ensemble distilled into one network, where the time has room",
    ),
}  # fmt: skip
DEFAULT = "balanced"

ASKED = ("auto", "yes", "no")
"""What ``--balance`` takes."""
