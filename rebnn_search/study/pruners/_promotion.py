"""Promotion: a first look at every trial, a second at the best of them, and the best of those is trained to its end."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rebnn_search.study.pausing import PauseRule
from rebnn_search.study.pruners.base import PRUNERS

if TYPE_CHECKING:
    from rebnn_search.study.ledger import Ledger


@PRUNERS.register("promotion")
class Promotion(PauseRule):
    """Pause every trial after a first look; of the best few, after a second look, train the best one to its end.

    A trial that waits is not lost: it goes on from its checkpoint when its turn comes. One look at every configuration is the strong
    baseline of Egele et al., "The Unreasonable Effectiveness Of Early Discarding After One Epoch In Neural Network Hyperparameter
    Optimization" (arXiv 2404.04111); the second look is a rung of successive halving (Jamieson and Talwalkar, arXiv 1502.07943), and
    keeps a slower start from deciding.

    Args:
        startup_trials: First looks before the first trial is trained to its end.
        every: First looks between that and the next.
        keep: Share of the search's trials that are trained to their end after the last first look, at least one.
        first_look: Reports of the first look.
        second_look: Reports by the end of the second look.
        second_looks: Second looks for each trial that is trained to its end.

    Raises:
        ValueError: If one is out of its range.
    """

    def __init__(
        self, startup_trials: int = 30, every: int = 30, keep: float = 0.1, first_look: int = 1, second_look: int = 4,
        second_looks: int = 5,
    ) -> None:  # fmt: skip
        counts = {"startup_trials": startup_trials, "every": every, "first_look": first_look, "second_looks": second_looks}
        for name, value in counts.items():
            if value < 1:
                raise ValueError(f"{name} = {value!r}: must be at least 1")
        if not 0 <= keep <= 1:
            raise ValueError(f"keep = {keep!r}: must be between 0 and 1")
        if second_look <= first_look:
            raise ValueError(f"second_look = {second_look!r}: must be more than first_look, {first_look}")
        self._startup, self._every, self._keep, self._looks = startup_trials, every, keep, second_looks
        self._first, self._second = first_look, second_look

    def pauses(self, ledger: Ledger, number: int) -> bool:
        """After each look."""
        return ledger.reports(number).last_step in (self._first, self._second)

    def continues(self, ledger: Ledger, paused: Sequence[int], left: int) -> int | None:
        """While too few are promoted: the best that lacks its second look, or, after enough of those, the best of them."""
        # Trainings shorter than a look end with it. Others take the places of those that failed on their way.
        promoted = max(ledger.taken_up[self._second] - ledger.lost[self._second], ledger.completed)
        if promoted >= self._due(ledger, left):
            return None
        if ledger.taken_up[self._first] - ledger.lost[self._first] < self._looks * (promoted + 1):
            found = self._best(ledger, paused, self._first)
            if found is not None:
                return found
        return None if self._second_looks_go_on(ledger) else self._best(ledger, paused, self._second)

    def _due(self, ledger: Ledger, left: int) -> int:
        """How many trials should have been promoted by now."""
        more = ledger.reached[self._first] - self._startup
        due = 0 if more < 0 else 1 + more // self._every
        return due if left else max(due, 1, math.ceil(self._keep * ledger.asked))

    def _second_looks_go_on(self, ledger: Ledger) -> bool:
        lost = sum(ledger.ended[step] for step in range(self._first, self._second))
        return ledger.taken_up[self._first] > ledger.reached[self._second] + lost

    @staticmethod
    def _best(ledger: Ledger, paused: Iterable[int], reports: int) -> int | None:
        waiting = (number for number in paused if ledger.reports(number).last_step == reports)
        return min(waiting, key=lambda number: (ledger.standing(number), number), default=None)
