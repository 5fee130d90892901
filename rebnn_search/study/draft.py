"""A trial that is asked for in memory and recorded in one write, so that a crash leaves it recorded whole or not at all."""

from __future__ import annotations

import copy
from bisect import insort
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from operator import attrgetter
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from rebnn_search.study.storage_view import StorageView

NEW = -1
"""Id of a draft that stands for no stored trial."""
FIXED = "fixed_params"
"""System attribute by which Optuna knows values that are not the sampler's to choose (`optuna.study.Study.enqueue_trial`)."""
STUDY = "rebnn_search:study"
"""System attribute with what the sampler kept in the study while it was asked: recorded with the trial, or not at all."""


def blank(
    number: int, fixed: Mapping[str, object] | None = None, trial_id: int = NEW, study: Mapping[str, object] | None = None
) -> FrozenTrial:
    """A trial as Optuna's queue would hold it, with nothing asked yet.

    Args:
        number: Its number.
        fixed: Values that are not the sampler's to choose.
        trial_id: Of the stored trial that it stands for.
        study: What the sampler kept in the study with drafts of this trial that were dropped.
    """
    return FrozenTrial(
        number=number, trial_id=trial_id, state=TrialState.WAITING, value=None, values=None, datetime_start=None,
        datetime_complete=None, params={}, distributions={}, user_attrs={}, intermediate_values={},
        system_attrs={**({FIXED: dict(fixed)} if fixed is not None else {}), **({STUDY: dict(study)} if study else {})},
    )  # fmt: skip


class DraftStorage(StorageView):
    """A storage in which one trial may be a draft: read and written in memory until it is kept. All else is the storage's behind it.

    Args:
        inner: That storage, or one that shows a part of it (`rebnn_search.study.history.HistoryStorage`).
        study_id: Of the study that is asked of.
        trials: All its trials.
    """

    def __init__(self, inner: BaseStorage | StorageView, study_id: int, trials: list[FrozenTrial]) -> None:
        super().__init__(inner)
        self._study_id = study_id
        self._draft: FrozenTrial | None = None
        self._study_attrs: dict[str, Any] = {}
        for trial in trials:
            self._study_attrs.update(trial.system_attrs.get(STUDY, {}))

    @contextmanager
    def drafting(self, trial: FrozenTrial) -> Iterator[None]:
        """Show a trial, in place of the stored one of its id if there is one, while the body runs."""
        self._draft = trial
        try:
            yield
        finally:
            self._draft = None

    @property
    def draft(self) -> FrozenTrial:
        """The draft as it stands."""
        assert self._draft is not None
        return self._draft

    def keep(self) -> int:
        """Record the draft and return its id. A new one takes a single write; of one that is stored, what it lacks is added, user
        attributes last.
        """
        draft = self.draft
        if draft._trial_id == NEW:
            trial_id = self._inner.create_new_trial(self._study_id, draft)
        else:
            trial_id = draft._trial_id
            self._add(trial_id, draft, self._inner.get_trial(trial_id))
        self._study_attrs.update(draft.system_attrs.get(STUDY, {}))
        return trial_id

    def _add(self, trial_id: int, draft: FrozenTrial, stored: FrozenTrial) -> None:
        if stored.state != draft.state:
            self._inner.set_trial_state_values(trial_id, draft.state)
        for key, value in draft.system_attrs.items():
            if stored.system_attrs.get(key) != value:
                self._inner.set_trial_system_attr(trial_id, key, value)
        for name, distribution in draft.distributions.items():
            if name not in stored.params:
                self._inner.set_trial_param(trial_id, name, distribution.to_internal_repr(draft.params[name]), distribution)
        for key, value in draft.user_attrs.items():
            if stored.user_attrs.get(key) != value:
                self._inner.set_trial_user_attr(trial_id, key, value)

    def _is_draft(self, trial_id: int) -> bool:
        return self._draft is not None and self._draft._trial_id == trial_id

    def _change(self, **values: object) -> None:
        # Samplers hold on to the trials that they were shown: those stay as they were.
        self._draft = copy.copy(self.draft)
        for name, value in values.items():
            setattr(self._draft, name, value)

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """A trial by its id."""
        return self.draft if self._is_draft(trial_id) else self._inner.get_trial(trial_id)

    def numbered(self, number: int) -> FrozenTrial:
        """A stored trial by its number."""
        return self._inner.get_trial(self._inner.get_trial_id_from_study_id_trial_number(self._study_id, number))

    def get_trial_system_attrs(self, trial_id: int) -> dict[str, Any]:
        """A trial's system attributes."""
        return self.get_trial(trial_id).system_attrs

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """The trials that are seen, the draft among them, by number."""
        draft = self._draft
        if draft is None:
            return self._inner.get_all_trials(study_id, deepcopy, states)
        found = self._inner.get_all_trials(study_id, deepcopy=False, states=states)
        if draft._trial_id != NEW:
            found = [trial for trial in found if not self._is_draft(trial._trial_id)]
        if states is None or draft.state in states:
            insort(found, draft, key=attrgetter("number"))
        return copy.deepcopy(found) if deepcopy else found

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """Change a trial's state: the draft's by taking it from the queue."""
        if not self._is_draft(trial_id):
            return self._inner.set_trial_state_values(trial_id, state, values)
        self._change(state=state, datetime_start=datetime.now())
        return True

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        """Give a trial a parameter."""
        if not self._is_draft(trial_id):
            self._inner.set_trial_param(trial_id, param_name, param_value_internal, distribution)
            return
        self._change(
            params={**self.draft.params, param_name: distribution.to_external_repr(param_value_internal)},
            distributions={**self.draft.distributions, param_name: distribution},
        )

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Give a trial a user attribute."""
        if not self._is_draft(trial_id):
            self._inner.set_trial_user_attr(trial_id, key, value)
            return
        self._change(user_attrs={**self.draft.user_attrs, key: value})

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Give a trial a system attribute."""
        if not self._is_draft(trial_id):
            self._inner.set_trial_system_attr(trial_id, key, value)
            return
        self._change(system_attrs={**self.draft.system_attrs, key: value})

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """What samplers kept in the study: by themselves, and with the trials asked for."""
        drafted = {} if self._draft is None else self._draft.system_attrs.get(STUDY, {})
        return {**self._inner.get_study_system_attrs(study_id), **self._study_attrs, **drafted}

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """Keep something in the study: while a trial is asked for, with that."""
        if self._draft is None:
            self._inner.set_study_system_attr(study_id, key, value)
            return
        kept = self.draft.system_attrs.get(STUDY, {})
        self.set_trial_system_attr(self.draft._trial_id, STUDY, {**kept, key: value})
