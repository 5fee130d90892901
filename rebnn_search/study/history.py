"""Bounds what sampler and pruner condition on, so that the ten-thousandth trial costs what the five-hundredth did.

Optuna asks its storage for all trials at every question; the storage here answers with a window of them, kept up to date as trials
end. One process writes the study, so nothing changes behind its back.
"""

from __future__ import annotations

import copy
from bisect import insort
from collections.abc import Container

from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from rebnn_search.study.spec import Objective

BEST, RECENT = 100, 400
"""How many finished trials sampler and pruner see at most: the best complete ones, and the most recent of the others."""


class Window:
    """The finished trials that are seen, updated one at a time.

    Args:
        objective: What trials are judged by.
    """

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        self._best: list[tuple[float, int, FrozenTrial]] = []
        self._recent: list[tuple[int, FrozenTrial]] = []

    def add(self, trial: FrozenTrial) -> None:
        """Take in a finished trial."""
        if trial.state == TrialState.COMPLETE and trial.value is not None:
            insort(self._best, (self._objective.sort_key(trial.value), trial.number, trial), key=lambda entry: entry[:2])
            if len(self._best) <= BEST:
                return
            trial = self._best.pop()[2]
        insort(self._recent, (trial.number, trial), key=lambda entry: entry[0])
        if len(self._recent) > RECENT:
            del self._recent[0]

    @property
    def trials(self) -> list[FrozenTrial]:
        """The trials, by number."""
        return sorted([*(entry[2] for entry in self._best), *(entry[1] for entry in self._recent)], key=lambda t: t.number)


class HistoryStorage:
    """A storage that shows the unfinished trials and a window of the finished ones; everything else is the storage's behind it.

    Args:
        inner: The storage.
        study_id: Of the study that is asked of.
        objective: What its trials are judged by.
    """

    def __init__(self, inner: BaseStorage, study_id: int, objective: Objective) -> None:
        self._inner, self._study_id = inner, study_id
        self._window = Window(objective)
        self._open: dict[int, None] = {}
        """Ids of unfinished trials, in the order of their numbers."""
        for trial in inner.get_all_trials(study_id, deepcopy=False):
            if trial.state.is_finished():
                self._window.add(trial)
            else:
                self._open[trial._trial_id] = None

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Make a trial, and see it."""
        trial_id = self._inner.create_new_trial(study_id, template_trial)
        self._open[trial_id] = None
        return trial_id

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """The trials that are seen, by number."""
        opened = []
        for trial_id in list(self._open):
            trial = self._inner.get_trial(trial_id)
            if trial.state.is_finished():
                del self._open[trial_id]
                self._window.add(trial)
            else:
                opened.append(trial)
        seen = sorted([*self._window.trials, *opened], key=lambda trial: trial.number)
        found = [trial for trial in seen if states is None or trial.state in states]
        return copy.deepcopy(found) if deepcopy else found
