"""The configurations of a search: what is compared where each has several seeds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

from rebnn_search.report.strategies import ZERO, methods
from rebnn_search.report.tracked import TrackedSearch, TrackedTrial
from rebnn_search.study.ranking import Ordering


@dataclass(frozen=True)
class Configuration:
    """One configuration, with its trials that were trained to their end, the best first."""

    trials: tuple[TrackedTrial, ...]
    values: tuple[float, ...]
    """The objective of each."""

    @property
    def number(self) -> int:
        """The number of its best trial."""
        return self.trials[0].number

    @cached_property
    def mean(self) -> float:
        """The objective, mean over the seeds."""
        return fmean(self.values)

    @property
    def name(self) -> str:
        """What it is called: the numbers of its trials."""
        return ", ".join(f"#{number}" for number in sorted(trial.number for trial in self.trials))

    def holds(self, number: float | None) -> bool:
        """Whether a trial is one of it, by its number as tracking has it; None is no trial's."""
        return number in {trial.number for trial in self.trials}


def configurations(search: TrackedSearch) -> list[Configuration]:
    """Those with a trial trained to its end within the constraints, the best first."""
    trials = {trial.number: trial for trial in search.feasible if search.value(trial) is not None}
    found = [tuple(trials[number] for number in group if number in trials) for group in search.ranked(trials.values())]
    return [_configuration(search, group) for group in found if group]


def with_rivals(search: TrackedSearch) -> list[Configuration]:
    """The chosen configuration, then the others as the first objective has them: of several it alone decides the choice.

    `configurations` has those on the Pareto front first, of which some may be far behind by it.
    """
    found = configurations(search)
    ordering, seeds = Ordering(search.search.spec.objective.direction), search.search.spec.seeds
    return found[:1] + sorted(found[1:], key=lambda one: (len(one.trials) < seeds, ordering.sort_key(one.mean)))


def _configuration(search: TrackedSearch, trials: tuple[TrackedTrial, ...]) -> Configuration:
    return Configuration(trials, tuple(value for trial in trials if (value := search.value(trial)) is not None))


def zero(search: TrackedSearch) -> Configuration | None:
    """The best configuration of the strategy γ = 0; None where the search trained none to its end."""
    found = next((method for method in methods(search) if method.label == ZERO), None)
    numbers = set() if found is None else {trial.number for trial in found.trials}
    return next((one for one in configurations(search) if numbers & {trial.number for trial in one.trials}), None)
