"""Optuna's samplers by name, seeded by trial number.

A sampler made anew for every trial from (search seed, trial number) needs no memory of its own: what it proposes is a function
of the ledger alone, so that a resumed search proposes what an uninterrupted one would have.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from importlib.util import find_spec

import optuna
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from rebnn_search.base.registry import Registry
from rebnn_search.config import Component
from rebnn_search.study.optuna_log import optuna_muted

SAMPLERS: Registry[BaseSampler] = Registry("sampler")
"""Options are the arguments of Optuna's class of that name, less the seed."""

CONTEXT = ("seed", "constraints_func", "gamma", "weights", "independent_sampler", "source_trials")
"""Arguments that a file cannot give: the seed comes from the search, the rest are Python objects."""


@SAMPLERS.register("tpe")
class TPE(optuna.samplers.TPESampler):
    """Tree-structured Parzen estimator, joint over parameters and aware of conditions (Optuna's ``group``)."""

    def __init__(
        self, *, seed: int | None = None, n_startup_trials: int = 10, n_ei_candidates: int = 24, multivariate: bool = True,
        group: bool = True, constant_liar: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(
            seed=seed, n_startup_trials=n_startup_trials, n_ei_candidates=n_ei_candidates, multivariate=multivariate,
            group=group and multivariate, constant_liar=constant_liar,
        )  # fmt: skip


SAMPLERS.register("random")(optuna.samplers.RandomSampler)
SAMPLERS.register("gp")(optuna.samplers.GPSampler)
SAMPLERS.register("qmc")(optuna.samplers.QMCSampler)


@SAMPLERS.register("cma_es")
class CmaEs(optuna.samplers.CmaEsSampler):
    """Covariance matrix adaptation; needs the package cmaes.

    Raises:
        ValueError: If that is not installed: Optuna itself would say so at the first trial that it samples.
    """

    def __init__(
        self, *, seed: int | None = None, x0: dict[str, object] | None = None, sigma0: float | None = None, n_startup_trials: int = 1,
        warn_independent_sampling: bool = False, consider_pruned_trials: bool = False, popsize: int | None = None,
        use_separable_cma: bool = False, with_margin: bool = False, lr_adapt: bool = False,
    ) -> None:  # fmt: skip
        if find_spec("cmaes") is None:
            raise ValueError("needs the package cmaes: pip install cmaes")
        super().__init__(
            seed=seed, x0=x0, sigma0=sigma0, n_startup_trials=n_startup_trials, popsize=popsize,
            warn_independent_sampling=warn_independent_sampling, consider_pruned_trials=consider_pruned_trials,
            use_separable_cma=use_separable_cma, with_margin=with_margin, lr_adapt=lr_adapt,
        )  # fmt: skip


@SAMPLERS.register("brute_force")
class BruteForce(optuna.samplers.BruteForceSampler):
    """Every point of a finite space once; the search ends when there is none left, whatever ``trials`` says."""

    def after_trial(self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Leave the end to the search: Optuna's would stop a loop that is not its own."""


SEQUENCES = frozenset({"qmc"})
"""Samplers that walk one sequence over the whole study: reseeding them for each trial would scatter it."""


COMPLETE_HISTORY = SEQUENCES | {"brute_force", "random"}
"""Samplers that must know every trial, or none."""


def sampler_factory(sampler: Component[BaseSampler], seed: int) -> Callable[[int], BaseSampler]:
    """Return the maker of the sampler of each trial number."""

    def make(number: int) -> BaseSampler:
        trial_seed = seed if sampler.name in SEQUENCES else mixed(seed, number)
        with optuna_muted():
            return sampler.build(seed=trial_seed)

    return make


def mixed(seed: int, number: int) -> int:
    """A 32-bit seed from two numbers, the same on every machine."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{number}".encode()).digest()[:4], "little")
