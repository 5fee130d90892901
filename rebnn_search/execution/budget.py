"""The time that one run of a search may take."""

from __future__ import annotations

import math
import time
from typing import NamedTuple

CLOSING_SECONDS = 4.0
"""Kept for a search's end: the chosen trial's test accuracy, tracking's last points, Ray's leaving."""
CLOSING_SHARE = 0.1
"""Most of a budget that is kept for that."""
LATE_SHARE = 0.5
"""Of a budget: from then on trials that wait to be trained to their ends come before new ones."""


class _Pace(NamedTuple):
    """How fast a trial was: from the first report of an attempt, its time and epoch, and seconds an epoch since."""

    when: float
    epoch: float
    rate: float


class Budget:
    """A time limit, and what the trials say about the least that would do.

    Args:
        seconds: In all, the start and the end of the search included.
        begun: When it began, by `time.monotonic`; by default now.
    """

    def __init__(self, seconds: float, begun: float | None = None) -> None:
        self.seconds = seconds
        self._begun = time.monotonic() if begun is None else begun
        self._first: dict[int, tuple[float, float]] = {}
        self._paces: dict[int, _Pace] = {}

    @property
    def spent(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self._begun

    @property
    def over(self) -> bool:
        """Whether what is left is needed for the end."""
        return self.spent >= self.seconds - min(CLOSING_SECONDS, CLOSING_SHARE * self.seconds)

    @property
    def late(self) -> bool:
        """Whether trials that wait come before new ones."""
        return self.spent >= LATE_SHARE * self.seconds

    def started(self, number: int) -> None:
        """Note that a trial was handed out."""
        self._first.pop(number, None)  # what comes before an attempt's first report is also the worker's start

    def reported(self, number: int, epoch: float) -> None:
        """Note how far a trial is."""
        when, first = self._first.setdefault(number, (self.spent, epoch))
        if epoch > first:
            self._paces[number] = _Pace(when, first, (self.spent - when) / (epoch - first))

    def smallest(self, epochs: int) -> float | None:
        """Seconds in which a trial of so many epochs could have been trained to its end, by the fastest seen; None if that is
        unknown.
        """
        if not self._paces:
            return None
        fastest = min(self._paces.values(), key=lambda pace: pace.rate)
        needed = fastest.when + max(0.0, epochs - fastest.epoch) * fastest.rate + CLOSING_SECONDS
        return max(1.2 * needed, self.seconds + 1)

    def too_small(self, epochs: int) -> str:
        """Say that no trial came to its end, and what would do."""
        smallest = self.smallest(epochs)
        enough = "some times as much" if smallest is None else f"{math.ceil(smallest)}s"
        return (
            f"the time budget, {self.seconds:.0f} s, was over before any trial was trained to its end: --time-budget {enough} would "
            "do for one, or --resume to go on with those begun"
        )
