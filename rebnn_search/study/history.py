"""Bounds what sampler and pruner condition on, so that the ten-thousandth trial costs what the five-hundredth did.

Optuna asks its storage for all trials at every question; the storage here answers with a window of them, kept up to date as trials
end. One process writes the study, so nothing changes behind its back.
"""

from __future__ import annotations

import copy
from bisect import insort
from collections.abc import Container, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from rebnn_search.study.attributes import PAUSED
from rebnn_search.study.front_window import FrontWindow
from rebnn_search.study.objectives import Goal
from rebnn_search.study.spec import Objective
from rebnn_search.study.storage_view import StorageView

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
        self._sorted: list[FrozenTrial] | None = None

    def add(self, trial: FrozenTrial) -> None:
        """Take in a finished trial."""
        self._sorted = None
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
        """The trials, by number: not to be changed."""
        if self._sorted is None:
            self._sorted = sorted(
                [*(entry[2] for entry in self._best), *(entry[1] for entry in self._recent)], key=attrgetter("number")
            )
        return self._sorted


class _Standing(NamedTuple):
    """A trial that waits, in the order in which Optuna's TPE ranks pruned ones."""

    reports: int
    value: float
    number: int


class Waiting:
    """The paused trials that are seen: as pruned ones, which is what a sampler can learn from before it is known how they end.

    Unfinished they would be trials without a result, and most of a search's.

    Args:
        objective: What trials are judged by.
    """

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        self._shown: dict[int, FrozenTrial] = {}
        self._order: list[_Standing] = []
        self._numbers: list[int] = []

    def add(self, trial: FrozenTrial) -> None:
        """Take in a trial that was paused."""
        shown = copy.copy(trial)
        shown.intermediate_values = dict(trial.intermediate_values)  # the storage's own may go on
        shown.state = TrialState.PRUNED
        step = trial.last_step or 0
        shown.value = trial.intermediate_values.get(step)
        self._shown[trial.number] = shown
        insort(self._order, self._standing(shown))
        insort(self._numbers, trial.number)

    def remove(self, number: int) -> None:
        """Let go of a trial that goes on, or ended."""
        trial = self._shown.pop(number, None)
        if trial is not None:
            self._order.remove(self._standing(trial))
            self._numbers.remove(number)

    def _standing(self, trial: FrozenTrial) -> _Standing:
        return _Standing(-(trial.last_step or 0), self._objective.sort_key(trial.value), trial.number)

    @property
    def trials(self) -> list[FrozenTrial]:
        """The best, and the most recent of the others."""
        best = {entry.number for entry in self._order[:BEST]}
        recent = [number for number in self._numbers[-BEST - RECENT :] if number not in best][-RECENT:]
        return [self._shown[number] for number in (*best, *recent)]


class HistoryStorage(StorageView):
    """A storage that shows the trials under way, and a window each of those that wait and those that are finished.

    Everything else is the storage's behind it.

    What was written since it was last asked is read anew and nothing else, so that an answer costs no question about a trial that
    has not changed: with a thousand trials at a time each report would be a thousand otherwise.

    Args:
        inner: The storage.
        study_id: Of the study that is asked of.
        objective: What its trials are judged by, first.
        goals: All that they are judged by, where that is more.
    """

    def __init__(self, inner: BaseStorage, study_id: int, objective: Objective, goals: Sequence[Goal] = ()) -> None:
        super().__init__(inner)
        self._window = FrontWindow(goals, BEST, RECENT) if len(goals) > 1 else Window(objective)
        self._waiting = Waiting(objective)
        self._open: dict[int, FrozenTrial | None] = {}
        """Unfinished trials by id, in the order of their numbers; None for one that waits."""
        self._written: dict[int, None] = {}
        """Ids of trials that were written since they were read."""
        for trial in inner.get_all_trials(study_id, deepcopy=False):
            self._file(trial)

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Make a trial, and see it."""
        trial_id = self._inner.create_new_trial(study_id, template_trial)
        self._open[trial_id] = self._inner.get_trial(trial_id)
        self._written[trial_id] = None
        return trial_id

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """Change a trial's state."""
        self._written[trial_id] = None
        return self._inner.set_trial_state_values(trial_id, state, values)

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        """Give a trial a parameter."""
        self._written[trial_id] = None
        self._inner.set_trial_param(trial_id, param_name, param_value_internal, distribution)

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        """Give a trial a report's value."""
        self._written[trial_id] = None
        self._inner.set_trial_intermediate_value(trial_id, step, intermediate_value)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Give a trial a user attribute."""
        self._written[trial_id] = None
        self._inner.set_trial_user_attr(trial_id, key, value)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Give a trial a system attribute."""
        self._written[trial_id] = None
        self._inner.set_trial_system_attr(trial_id, key, value)

    def _read(self) -> None:
        for trial_id in self._written:
            if trial_id in self._open:
                self._file(self._inner.get_trial(trial_id))
        self._written.clear()

    def _file(self, trial: FrozenTrial) -> None:
        self._waiting.remove(trial.number)
        if trial.state.is_finished():
            self._open.pop(trial._trial_id, None)
            self._window.add(trial)
        elif trial.user_attrs.get(PAUSED) is not None:
            self._open[trial._trial_id] = None
            self._waiting.add(trial)
        else:
            self._open[trial._trial_id] = trial

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """The trials that are seen, by number."""
        self._read()
        found = self._window.trials
        if states is None or any(state in states for state in TrialState if not state.is_finished()):
            opened = [trial for trial in self._open.values() if trial is not None]
            found = [*found, *opened]
        if states is None or TrialState.PRUNED in states:
            found = [*found, *self._waiting.trials]
        found = sorted(found, key=attrgetter("number"))
        if states is not None:
            found = [trial for trial in found if trial.state in states]
        return copy.deepcopy(found) if deepcopy else list(found)
