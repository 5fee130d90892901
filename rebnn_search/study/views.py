"""A study of several objectives as those see it who know of one: the pruner, and the sampler its pruned trials."""

from __future__ import annotations

import copy
from collections.abc import Container

from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from rebnn_search.study.storage_view import StorageView


class FirstObjectiveView(StorageView):
    """A study of several objectives as one of the first: Optuna takes no reports otherwise, and its pruners compare one value."""

    def __init__(self, inner: BaseStorage | StorageView) -> None:
        super().__init__(inner)
        self._finished: dict[int, FrozenTrial] = {}

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """That of the first objective."""
        directions: list[StudyDirection] = self._inner.get_study_directions(study_id)
        return directions[:1]

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """A trial by its id."""
        return self._first(self._inner.get_trial(trial_id))

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """The trials that are seen, by number."""
        found = [self._first(trial) for trial in self._inner.get_all_trials(study_id, deepcopy=False, states=states)]
        return copy.deepcopy(found) if deepcopy else found

    def get_best_trial(self, study_id: int) -> FrozenTrial:
        """The best by the first objective."""
        return BaseStorage.get_best_trial(self, study_id)  # type: ignore[arg-type]

    def _first(self, trial: FrozenTrial) -> FrozenTrial:
        if trial.values is None or len(trial.values) == 1:
            return trial
        if trial.number not in self._finished:
            shown = copy.copy(trial)
            shown.values = trial.values[:1]
            self._finished[trial.number] = shown
        return self._finished[trial.number]


class UnprunedView(StorageView):
    """A study of several objectives without its pruned trials, but those that broke a constraint.

    What a trial was worth that the first objective ended is not known of the others, and Optuna's TPE ranks pruned trials by the one
    value of a study of one objective.
    """

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """The trials that are seen, by number."""
        found = [trial for trial in self._inner.get_all_trials(study_id, deepcopy=False, states=states) if _shown(trial)]
        return copy.deepcopy(found) if deepcopy else found


def _shown(trial: FrozenTrial) -> bool:
    return trial.state != TrialState.PRUNED or any(value > 0 for value in trial.constraints.values())
