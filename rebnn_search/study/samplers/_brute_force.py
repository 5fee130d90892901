"""Exhaustive search."""

from __future__ import annotations

from collections.abc import Sequence

import optuna
from optuna.trial import FrozenTrial, TrialState

from rebnn_search.study.samplers.base import SAMPLERS


@SAMPLERS.register("brute_force")
class BruteForce(optuna.samplers.BruteForceSampler):
    """Every point of a finite space once; the search ends when there is none left, whatever ``trials`` says.

    Args:
        avoid_premature_stop: As of Optuna's.
    """

    complete_history = True
    exhaustive = True
    multi_objective = True

    def after_trial(self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Leave the end to the search: Optuna's would stop a loop that is not its own."""
