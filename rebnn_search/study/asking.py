"""Which trial comes next, and with what configuration: a given one, or the sampler's."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import optuna
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial

from rebnn_search.study.attributes import PARAMS
from rebnn_search.study.draft import FIXED, STUDY, DraftStorage, blank
from rebnn_search.study.optuna_log import optuna_muted
from rebnn_search.study.samplers import has_trait, mixed, sampler_factory
from rebnn_search.study.search import Search
from rebnn_search.study.spec import Params

AGAIN = 10
"""Times that a sampler is asked again, each with another seed or further along its sequence, which proposed what was tried before."""
AT_RANDOM = 100
"""Times that a configuration is then drawn at random, before one is trained again: most points of such a space were tried."""


class Asking:
    """Asks for trials, one after another, and records each in one write.

    A training is a function of its recipe, so a configuration that was tried already would give the same again: where the sampler
    proposes one, another is drawn. Which one is a function of the record alone.

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
        self._tried = {_key(trial.user_attrs[PARAMS]) for trial in trials if PARAMS in trial.user_attrs}
        self._half_asked = [t for t in trials if not t.state.is_finished() and PARAMS not in t.user_attrs]

    def ask(self) -> tuple[int, Params]:
        """Begin the next trial: its number and configuration. What a crash of an earlier version left half asked for comes first."""
        half = self._half_asked.pop(0) if self._half_asked else None
        number = self._made if half is None else half.number
        with optuna_muted():
            if half is None:
                params = self._ask_new(number)
            else:
                fixed = half.system_attrs.get(FIXED) or self._given(number)
                params = self._ask(blank(number, fixed, half._trial_id), half)
        self._made = max(self._made, number + 1)
        self._tried.add(_key(params))
        self.asked += 1
        return number, params

    def _ask_new(self, number: int) -> Params:
        """Ask for a configuration that was not tried yet, if that is the sampler's to choose, and record the trial with it."""
        given = self._given(number)
        sampler = self._search.spec.sampler
        repeats = given is not None or has_trait(sampler, "exhaustive") or has_trait(sampler, "repeats")
        attempts = 0 if repeats else AGAIN + AT_RANDOM
        walked: Mapping[str, object] = {}
        for attempt in range(attempts):
            with self._drafts.drafting(blank(number, study=walked)):
                self._study.sampler = self._sampler(number, attempt)
                trial = self._study.ask()
                params = self._search.space.suggest(trial)
                if _key(params) not in self._tried:
                    trial.set_user_attr(PARAMS, params)
                    self._drafts.keep()
                    return params
                if has_trait(sampler, "one_sequence"):  # else each trial would come to the same point of it again
                    walked = self._drafts.draft.system_attrs.get(STUDY, {})
        return self._ask(blank(number, given, study=walked))

    def _sampler(self, number: int, attempt: int) -> BaseSampler:
        """The sampler of a trial, or what stands in for it after so many attempts."""
        if attempt == 0 or (attempt < AGAIN and has_trait(self._search.spec.sampler, "one_sequence")):
            return self._make_sampler(number)
        seed = mixed(mixed(self._search.spec.sampler_seed, number), attempt)
        if attempt >= AGAIN:
            return RandomSampler(seed=seed)
        return self._search.spec.sampler.build(seed=seed)

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


def _key(params: Params) -> str:
    return json.dumps(params, sort_keys=True)
