"""Which trial comes next, and with what configuration: a given one, or the sampler's."""

from __future__ import annotations

from collections.abc import Sequence

import optuna
from optuna.trial import FrozenTrial

from rebnn_search.study.attributes import PARAMS
from rebnn_search.study.draft import FIXED, DraftStorage, blank
from rebnn_search.study.optuna_log import optuna_muted
from rebnn_search.study.samplers import sampler_factory
from rebnn_search.study.spec import Params, Search


class Asking:
    """Asks for trials, one after another, and records each in one write.

    Args:
        search: The resolved search.
        study: Its study, over ``drafts``.
        drafts: The study's storage.
        trials: What the study has.
    """

    def __init__(self, search: Search, study: optuna.Study, drafts: DraftStorage, trials: Sequence[FrozenTrial]) -> None:
        self._search, self._study, self._drafts = search, study, drafts
        self._make_sampler = sampler_factory(search.spec.sampler, search.spec.sampler_seed)
        self._made = len(trials)
        self.asked = sum(PARAMS in trial.user_attrs for trial in trials)
        """How many trials have been asked for in full."""
        self._half_asked = [t for t in trials if not t.state.is_finished() and PARAMS not in t.user_attrs]

    def ask(self) -> tuple[int, Params]:
        """Begin the next trial: its number and configuration. What a crash of an earlier version left half asked for comes first."""
        half = self._half_asked.pop(0) if self._half_asked else None
        number = self._made if half is None else half.number
        with optuna_muted():
            if half is None:
                params = self._ask(blank(number, self._given(number)))
            else:
                fixed = half.system_attrs.get(FIXED) or self._given(number)
                params = self._ask(blank(number, fixed, half._trial_id), half)
        self._made = max(self._made, number + 1)
        self.asked += 1
        return number, params

    def _ask(self, draft: FrozenTrial, half: FrozenTrial | None = None) -> Params:
        """Ask the sampler for a configuration and record the trial with it."""
        with self._drafts.drafting(draft):
            self._study.sampler = self._make_sampler(draft.number)
            trial = self._study.ask()
            params = self._search.space.suggest(trial)
            trial.set_user_attr(PARAMS, params)
            already = {} if half is None else half.params
            if all(name in trial.params and trial.params[name] == value for name, value in already.items()):
                self._drafts.keep()
                return params
        # With several at a time others have ended since, and the sampler would choose differently: what is recorded stands.
        fixed = {**draft.system_attrs.get(FIXED, {}), **already}
        return self._ask(blank(draft.number, fixed, draft._trial_id))

    def _given(self, number: int) -> Params | None:
        """The configuration of a trial that is not the sampler's to choose: a fixed one, or that of its earlier seeds."""
        configuration, seed = divmod(number, self._search.spec.seeds)
        if configuration < len(self._search.fixed):
            return self._search.fixed[configuration]
        if seed == 0:
            return None
        first: Params = self._drafts.numbered(number - seed).user_attrs[PARAMS]
        return first
