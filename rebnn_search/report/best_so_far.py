"""The best so far, and what random draws would have come to: values in the order of the configurations."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean

import numpy as np

from rebnn_search.report.statistics import Array, Interval, best_of
from rebnn_search.report.tracked import TrackedSearch, TrackedTrial
from rebnn_search.study.ranking import Ordering

ENDED = ("COMPLETE", "PRUNED", "FAIL")
MOST_PLACES = 60
"""Numbers of draws that the expectation is computed for."""


@dataclass(frozen=True)
class BestSoFar:
    """How a search came to its best.

    Attributes:
        numbers: First trial of each configuration that has a value, in order.
        values: Their objective: mean over the seeds trained to their end, else the best of the last reports.
        whole: Which of them were trained to their end, by all their seeds if any configuration was.
        turn: -1 where more is better, else 1: a value times it is the less, the better.
        ended: How many configurations ended, with those that failed or broke a constraint: so many were drawn.
    """

    numbers: list[int]
    values: Array
    whole: list[bool]
    turn: int
    ended: int

    @property
    def best(self) -> Array:
        """The best value so far of those trained to their end, by configuration; NaN before the first."""
        turned = np.where(self.whole, self.values * self.turn, np.inf)
        so_far = np.minimum.accumulate(turned)
        return np.where(np.isinf(so_far), np.nan, so_far * self.turn)

    def expected(self, draws: int) -> Interval:
        """What the best of so many of the values comes to, drawn at random: mean and central 95 %."""
        found = best_of((self.values * self.turn).tolist(), draws)
        ends = sorted((found.low * self.turn, found.high * self.turn))
        return Interval(found.mean * self.turn, ends[0], ends[1])

    def places(self) -> list[int]:
        """The numbers of draws at which to show what is expected."""
        n = len(self.values)
        return sorted({round(place) for place in np.linspace(1, n, min(n, MOST_PLACES))})


def best_so_far(search: TrackedSearch) -> BestSoFar:
    """Of a search's configurations within the constraints; those that failed before a report have no value and no place."""
    groups: dict[int, list[TrackedTrial]] = {}
    broken = {trial.configuration for trial in search.trials if search.infeasible(trial) is not None}
    for trial in search.trials:
        if trial.state in ("COMPLETE", "PRUNED") and trial.configuration not in broken and search.value(trial) is not None:
            groups.setdefault(trial.configuration, []).append(trial)
    ordering = Ordering(search.search.spec.objective.direction)
    numbers, values, seeds = [], [], []
    for configuration in sorted(groups):
        complete = [value for t in groups[configuration] if t.state == "COMPLETE" and (value := search.value(t)) is not None]
        others = [value for t in groups[configuration] if (value := search.value(t)) is not None]
        numbers.append(groups[configuration][0].number)
        values.append(fmean(complete) if complete else min(others, key=ordering.sort_key))
        seeds.append(len(complete))
    # As in `rank`: the mean of those that survived a pruner says less than that of all.
    needed = search.search.spec.seeds if search.search.spec.seeds in seeds else 1
    ended = {trial.configuration for trial in search.trials if trial.state in ENDED}
    whole = [count >= needed for count in seeds]
    return BestSoFar(numbers, np.array(values, dtype=np.float64), whole, 1 if search.minimize else -1, len(ended))
