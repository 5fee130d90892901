"""Covariance matrix adaptation."""

from __future__ import annotations

from importlib.util import find_spec

import optuna

from rebnn_search.study.samplers.base import SAMPLERS


@SAMPLERS.register("cma_es")
class CmaEs(optuna.samplers.CmaEsSampler):
    """Covariance matrix adaptation; needs the package cmaes.

    Args:
        x0: Where it begins, by parameter; the middle by default.
        sigma0: First step, in the parameters' units; a sixth of the narrowest range by default.
        n_startup_trials: Trials drawn at random before it begins.
        warn_independent_sampling: Warn where a parameter is drawn at random: a choice, or one with a condition.
        consider_pruned_trials: Learn from pruned trials, too.
        popsize: Trials of a generation.
        use_separable_cma: A diagonal matrix.
        with_margin: Keep a least probability of change for integers and steps.
        lr_adapt: Adapt the learning rate.

    Raises:
        ValueError: If cmaes is not installed: Optuna itself would say so at the first trial that it samples.
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
