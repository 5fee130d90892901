"""Covariance matrix adaptation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import optuna

from rebnn_search.study.samplers.base import SAMPLERS

if TYPE_CHECKING:
    from rebnn_search.study.space import Parameter


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
        ValueError: If cmaes is not installed, or popsize or sigma0 is out of its range: Optuna itself would say so at the first trial
            that it samples.
    """

    whole_trainings = True

    def __init__(
        self, *, seed: int | None = None, x0: dict[str, object] | None = None, sigma0: float | None = None, n_startup_trials: int = 1,
        warn_independent_sampling: bool = False, consider_pruned_trials: bool = False, popsize: int | None = None,
        use_separable_cma: bool = False, with_margin: bool = False, lr_adapt: bool = False,
    ) -> None:  # fmt: skip
        if find_spec("cmaes") is None:
            raise ValueError("needs the package cmaes: pip install cmaes")
        if popsize is not None and popsize < 2:
            raise ValueError(f"popsize = {popsize!r}: must be at least 2")
        if sigma0 is not None and not (math.isfinite(sigma0) and sigma0 > 0):
            raise ValueError(f"sigma0 = {sigma0!r}: must be finite and above 0")
        super().__init__(
            seed=seed, x0=x0, sigma0=sigma0, n_startup_trials=n_startup_trials, popsize=popsize,
            warn_independent_sampling=warn_independent_sampling, consider_pruned_trials=consider_pruned_trials,
            use_separable_cma=use_separable_cma, with_margin=with_margin, lr_adapt=lr_adapt,
        )  # fmt: skip

    @staticmethod
    def check_space(options: Mapping[str, Any], space: Mapping[str, Parameter]) -> None:
        """Check that it begins within the space.

        Raises:
            ValueError: If ``x0`` names what does not vary, or has a value that the space has not.
        """
        for name, value in (options.get("x0") or {}).items():
            if name not in space:
                raise ValueError(f"x0: {name}: is no parameter of this space: {', '.join(space)}")
            if not space[name].contains(value):
                raise ValueError(f"x0: {name} = {value!r}: the space has {space[name].allowed()}")
