"""A sampler that proposes recorded configurations alone: what it is put around proposes, the nearest recorded one is taken.

Which way of choosing among recorded configurations is fair? An index as one categorical parameter would hide from a sampler that two
configurations are alike. A model of the curves fitted to the bank would let it go anywhere, to values that nobody measured. So it
proposes in the true space, the nearest configuration that has not been taken is taken in its place, and that is what it is told
of: its model is of what was measured. What this costs it is sharpness, the more the fewer configurations the bank has near the best:
it cannot refine below the distance between two. Where a sampler would begin with random configurations it takes those of random
search with the same seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from banks import Bank
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from traces import permutation

from rebnn_search.study.samplers import TRAITS


class Candidates:
    """The configurations of a bank that are left, and the order in which random search takes them.

    Args:
        bank: The bank.
        seed: Of the order.
        again: Begin anew when none is left, in place of an error.
    """

    def __init__(self, bank: Bank, seed: int, *, again: bool = False) -> None:
        self.bank, self._again = bank, again
        self._order = permutation(bank, seed)
        self._next = 0
        self._left = np.ones(len(bank), dtype=bool)

    def following(self) -> int:
        """Take the next in the order of random search."""
        self._refill()
        while not self._left[self._order[self._next]]:
            self._next += 1
        return self._take(int(self._order[self._next]))

    def nearest(self, params: dict[str, Any]) -> int:
        """Take the nearest to a proposal."""
        self._refill()
        distances = np.square(self.bank.points - self.bank.point(params)).sum(axis=1)
        return self._take(int(np.argmin(np.where(self._left, distances, np.inf))))

    def _refill(self) -> None:
        if not self._left.any():
            if not self._again:
                raise LookupError(f"all {len(self.bank)} configurations of {self.bank.name} are taken")
            self._left[:] = True
            self._next = 0

    def _take(self, index: int) -> int:
        self._left[index] = False
        return index


class _Proposal:
    """What the inner sampler says of each parameter that the space asks for: an `rebnn_search.study.space.Suggests`."""

    def __init__(self, inner: BaseSampler, study: Study, trial: FrozenTrial, relative: dict[str, Any]) -> None:
        self._inner, self._study, self._trial, self._relative = inner, study, trial, relative

    def _ask(self, name: str, distribution: BaseDistribution) -> Any:
        if name in self._relative and distribution._contains(distribution.to_internal_repr(self._relative[name])):
            return self._relative[name]
        return self._inner.sample_independent(self._study, self._trial, name, distribution)

    def suggest_float(self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False) -> float:
        """A real number."""
        return float(self._ask(name, FloatDistribution(low, high, log=log, step=step)))

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """A whole number."""
        return int(self._ask(name, IntDistribution(low, high, log=log, step=step)))

    def suggest_categorical(self, name: str, choices: list[Any]) -> Any:
        """A choice."""
        return self._ask(name, CategoricalDistribution(choices))


class RecordedSampler(BaseSampler):
    """Proposes what the inner sampler proposes, moved to the nearest recorded configuration that is left.

    Args:
        inner: That sampler; None for random search.
        candidates: What is left.
        n_startup_trials: So many ended trials are waited for with random search's configurations.
    """

    def __init__(self, inner: BaseSampler | None, candidates: Candidates, n_startup_trials: int = 0) -> None:
        self._inner, self._candidates, self._startup = inner, candidates, n_startup_trials
        self._space: dict[str, BaseDistribution] = {}

    def reseed_rng(self) -> None:
        """Reseed the inner one."""
        if self._inner is not None:
            self._inner.reseed_rng()

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The whole space."""
        if self._inner is not None:
            self._space = self._inner.infer_relative_search_space(study, trial)
        return self._candidates.bank.distributions

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        """The recorded configuration."""
        bank = self._candidates.bank
        ended = (TrialState.COMPLETE, TrialState.PRUNED)
        if self._inner is None or len(study.get_trials(deepcopy=False, states=ended)) < self._startup:
            return bank.configurations[self._candidates.following()]
        relative = self._inner.sample_relative(study, trial, self._space)
        proposal = _Proposal(self._inner, study, trial, relative)
        return bank.configurations[self._candidates.nearest(bank.space.suggest(proposal))]

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Nothing is left to be asked."""
        raise AssertionError("every active parameter was proposed")

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """As the inner one."""
        if self._inner is not None:
            self._inner.before_trial(study, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """As the inner one."""
        if self._inner is not None:
            self._inner.after_trial(study, trial, state, values)


def around(
    make: Callable[..., BaseSampler] | None, candidates: Candidates, n_startup_trials: int
) -> Callable[..., BaseSampler]:
    """What the ledger calls to make the sampler of each trial, in place of the sampler's class."""

    def made(*, seed: int | None = None, **options: Any) -> BaseSampler:
        inner = None if make is None else make(seed=seed, **options)
        return RecordedSampler(inner, candidates, n_startup_trials)

    for trait in TRAITS:
        own = trait == "repeats" or (make is None and trait == "complete_history")  # it knows what is left in the bank
        setattr(made, trait, own or getattr(make, trait, False))
    return made
