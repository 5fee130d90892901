"""The tree-structured Parzen estimator."""

from __future__ import annotations

import optuna

from rebnn_search.study.samplers.base import SAMPLERS


@SAMPLERS.register("tpe")
class TPE(optuna.samplers.TPESampler):
    """Tree-structured Parzen estimator, joint over parameters and aware of conditions (Optuna's ``group``).

    Args:
        n_startup_trials: Trials drawn at random before it begins.
        n_ei_candidates: Points drawn for each trial, of which the most promising is taken.
        multivariate: Parameters together, not each for itself.
        group: Together those that are there under the same conditions.
        constant_liar: Take trials that run for bad ones, so that those asked for at the same time differ.

    Raises:
        ValueError: If there is no point to draw: Optuna itself would say so at the first trial that it samples.
    """

    multi_objective = True

    def __init__(
        self, *, seed: int | None = None, n_startup_trials: int = 10, n_ei_candidates: int = 24, multivariate: bool = True,
        group: bool = True, constant_liar: bool = True,
    ) -> None:  # fmt: skip
        if n_ei_candidates < 1:
            raise ValueError(f"n_ei_candidates = {n_ei_candidates!r}: must be at least 1")
        super().__init__(
            seed=seed, n_startup_trials=n_startup_trials, n_ei_candidates=n_ei_candidates, multivariate=multivariate,
            group=group and multivariate, constant_liar=constant_liar,
        )  # fmt: skip
