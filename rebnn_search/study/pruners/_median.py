"""Pruning by the median."""

from __future__ import annotations

import optuna

from rebnn_search.study.pruners.base import PRUNERS


@PRUNERS.register("median")
class Median(optuna.pruners.MedianPruner):
    """Prune a trial whose best value so far is worse than the median of the others at the same report.

    Args:
        n_startup_trials: Trials that must be over before one is pruned.
        n_warmup_steps: Reports of a trial before which it is not pruned.
        interval_steps: Reports between two questions.
        n_min_trials: Trials with a value at a report before one is pruned there.
    """
