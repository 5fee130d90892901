"""The finished trials that a sampler of several objectives sees at most."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from rebnn_search.study.objectives import Goal


class FrontWindow:
    """As `rebnn_search.study.history.Window`, where the best are those that the fewest others dominate.

    What is seen is a function of the set of finished trials alone, in whatever order they ended.

    Args:
        goals: What trials are judged by.
        best: How many of the best complete ones are seen.
        recent: How many of the most recent others.
    """

    def __init__(self, goals: Sequence[Goal], best: int, recent: int) -> None:
        self._goals, self._most_best, self._most_recent = goals, best, recent
        self._complete: list[FrozenTrial] = []
        self._values = np.empty((0, len(goals)))
        self._dominated_by = np.empty(0, dtype=np.int64)
        self._others: list[FrozenTrial] = []
        self._sorted: list[FrozenTrial] | None = None

    def add(self, trial: FrozenTrial) -> None:
        """Take in a finished trial."""
        self._sorted = None
        if trial.state != TrialState.COMPLETE or trial.values is None:
            self._others.append(trial)
            return
        new = np.array([goal.sort_key(value) for goal, value in zip(self._goals, trial.values, strict=True)])
        old = self._values
        self._dominated_by += (new <= old).all(1) & (new < old).any(1)
        worse = int(((old <= new).all(1) & (old < new).any(1)).sum())
        self._values = np.vstack([old, new])
        self._dominated_by = np.append(self._dominated_by, worse)
        self._complete.append(trial)

    @property
    def trials(self) -> list[FrozenTrial]:
        """The trials, by number: not to be changed."""
        if self._sorted is None:
            numbers = np.array([trial.number for trial in self._complete], dtype=np.int64)
            order = np.lexsort((numbers, self._dominated_by))
            best = [self._complete[index] for index in order[: self._most_best]]
            others = [*(self._complete[index] for index in order[self._most_best :]), *self._others]
            recent = sorted(others, key=attrgetter("number"))[-self._most_recent :]
            self._sorted = sorted([*best, *recent], key=attrgetter("number"))
        return self._sorted
