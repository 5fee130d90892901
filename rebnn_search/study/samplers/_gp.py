"""Gaussian process."""

from __future__ import annotations

import optuna

from rebnn_search.study.samplers.base import SAMPLERS


@SAMPLERS.register("gp")
class GP(optuna.samplers.GPSampler):
    """Gaussian process with expected improvement, of several objectives with expected hypervolume improvement.

    Args:
        n_startup_trials: Trials drawn at random before it begins.
        deterministic_objective: Take values for free of noise.
        warn_independent_sampling: Warn where a parameter is drawn at random: one with a condition.
    """

    whole_trainings = True
    multi_objective = True
