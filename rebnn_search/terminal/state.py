"""What is known of a running search, for any display of it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from rebnn_search.base.metrics import EPOCHS
from rebnn_search.execution.budget import Budget
from rebnn_search.study.search import Search
from rebnn_search.study.spec import Objective, Params
from rebnn_search.training.report_log import TrackedReport

FEWEST_OF_LATE = 8
"""The time left is estimated from at least so many of the trials that ended last, and from the latter half of all."""
UNREPORTED = ("COMPLETE", "PRUNED", "FAIL")


@dataclass
class RunningTrial:
    """A trial that Tune holds, with its curve of the objective so far."""

    name: str
    epochs: float
    """That it takes to its end."""
    epoch: float = 0.0
    step: int = 0
    curve: list[float] = field(default_factory=list)


class SearchState:
    """Counts, the best so far, the running trials and the time left.

    Args:
        objective: What trials are judged by.
        epochs: Epochs of a trial trained to its end; by its parameters where they vary.
        budget: The time the search may take; None for any.
        feasible: Whether a trial trained to its end kept to the constraints, by its summary.
        clock: Seconds that only go on.
    """

    def __init__(
        self,
        objective: Objective,
        epochs: float | Callable[[Params], float],
        budget: Budget | None = None,
        feasible: Callable[[Mapping[str, float]], bool] = lambda summary: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._objective, self.feasible = objective, feasible
        self.metric: str = objective.metric
        self._epochs = epochs
        self._budget = budget
        self.target = 0
        self.counts: Counter[str] = Counter()
        self.running: dict[int, RunningTrial] = {}
        self.best: tuple[int, float, str] | None = None
        self.epochs_saved = 0.0
        self._names: dict[int, str] = {}
        self._full: dict[int, float] = {}
        self._clock = clock
        self._moments = [clock()]

    @classmethod
    def of(cls, search: Search, budget: Budget | None = None) -> SearchState:
        """The state of a search that has not begun yet."""
        epochs = search.epochs_of if "epochs" in search.space else search.epochs_of({})
        return cls(search.spec.objective, epochs, budget, lambda summary: search.broken(summary) is None)

    def began(self, target: int, earlier: Mapping[int, tuple[str, Mapping[str, float]]]) -> None:
        """Take in what earlier runs of the search left."""
        self.target = target
        for number, (state, summary) in earlier.items():
            self._count(number, state, summary)

    def started(self, number: int, name: str, params: Params, resumed_at: int) -> None:
        """Take in a trial's start."""
        self._names[number] = name
        self._full[number] = self._epochs(params) if callable(self._epochs) else self._epochs
        self.running[number] = RunningTrial(name, self._full[number], step=resumed_at)

    def reported(self, number: int, report: TrackedReport) -> None:
        """Take in a report."""
        trial = self.running[number]
        trial.epoch, trial.step = report.epoch, report.step
        trial.curve.append(report.metrics[self.metric])

    def paused(self, number: int) -> None:
        """Take in that a trial waits."""
        self.running.pop(number, None)

    def finished(self, number: int, state: str, summary: Mapping[str, float]) -> None:
        """Take in a trial's end."""
        self.running.pop(number, None)
        self._moments.append(self._clock())
        self._count(number, state, summary)

    def _count(self, number: int, state: str, summary: Mapping[str, float]) -> None:
        self.counts[state] += 1
        # Where epochs vary, an earlier run's trial is not known to have saved any.
        full = self._full.get(number, None if callable(self._epochs) else self._epochs)
        if state == "PRUNED" and full is not None:
            self.epochs_saved += full - summary.get(EPOCHS, 0.0)
        value = summary.get(self.metric)
        if state != "COMPLETE" or value is None or not self.feasible(summary):
            return
        if self.best is None or self._better(value, self.best[1]):
            self.best = (number, value, self.name(number))

    def _better(self, a: float, b: float) -> bool:
        return self._objective.sort_key(a) < self._objective.sort_key(b)

    def name(self, number: int) -> str:
        """A trial's name."""
        return self._names.get(number, f"#{number}")

    @property
    def ended(self) -> int:
        """How many trials have ended, earlier runs included."""
        return sum(self.counts[state] for state in UNREPORTED)

    @property
    def seconds_left(self) -> float | None:
        """Estimated from the pace of late: the first trials may have been trained before. None before two have ended in this run."""
        ended = len(self._moments) - 1
        if ended < 2:
            return None
        of_late = min(ended, max(FEWEST_OF_LATE, ended // 2))
        left = (self._clock() - self._moments[-1 - of_late]) / of_late * (self.target - self.ended)
        return left if self._budget is None else max(0.0, min(left, self._budget.seconds - self._budget.spent))
