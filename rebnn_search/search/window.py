"""Bounds what a sampler conditions on, so that asking for the ten-thousandth trial costs what asking for the five-hundredth did."""

from __future__ import annotations

import heapq
from collections.abc import Container
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

BEST, RECENT = 100, 400
"""How many finished trials a sampler sees at most: the best, and the most recent of the others."""


def window(trials: list[FrozenTrial], minimize: bool) -> list[FrozenTrial]:
    """The trials a sampler sees, by number: all unfinished ones, and of the finished ones the best and the most recent."""
    if len(trials) <= BEST + RECENT:
        return trials
    sign = 1.0 if minimize else -1.0
    ranked = [(sign * t.value, t.number) for t in trials if t.state == TrialState.COMPLETE and t.value is not None]
    kept = {number for _, number in heapq.nsmallest(BEST, ranked)}
    recent = RECENT
    for trial in reversed(trials):
        if trial.number not in kept and (not trial.state.is_finished() or recent > 0):
            recent -= trial.state.is_finished()
            kept.add(trial.number)
    return [trial for trial in trials if trial.number in kept]


class _Window:
    """A study that shows a sampler fewer trials; everything else is the study's. Optuna's Hyperband does the same."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._shown = window(study.get_trials(deepcopy=False), study.direction == StudyDirection.MINIMIZE)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._study, name)

    @property
    def trials(self) -> list[FrozenTrial]:
        return self._shown

    def get_trials(self, deepcopy: bool = True, states: Container[TrialState] | None = None) -> list[FrozenTrial]:
        return [trial for trial in self._shown if states is None or trial.state in states]

    def _get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        return self.get_trials(deepcopy, states)


class WindowSampler(BaseSampler):
    """A sampler shown the window alone. Made for one trial: the window is that of its first question."""

    def __init__(self, inner: BaseSampler) -> None:
        self._inner = inner
        self._window: Any = None

    def _seen(self, study: Study) -> Any:
        if self._window is None:
            self._window = _Window(study)
        return self._window

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Ask the inner sampler."""
        return self._inner.infer_relative_search_space(self._seen(study), trial)

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        """Ask the inner sampler."""
        return self._inner.sample_relative(self._seen(study), trial, search_space)

    def sample_independent(self, study: Study, trial: FrozenTrial, name: str, distribution: BaseDistribution) -> Any:
        """Ask the inner sampler."""
        return self._inner.sample_independent(self._seen(study), trial, name, distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Tell the inner sampler."""
        self._inner.before_trial(study, trial)

    def after_trial(self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        """Tell the inner sampler."""
        self._inner.after_trial(study, trial, state, values)
