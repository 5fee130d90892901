"""Pruning by a percentile."""

from __future__ import annotations

import optuna

from rebnn_search.study.pruners.base import PRUNERS


@PRUNERS.register("percentile")
class Percentile(optuna.pruners.PercentilePruner):
    """Prune a trial whose best value so far is not among the best ``percentile`` per cent at the same report.

    Args:
        percentile: From 0 to 100: how many are kept; 50 is `median`.
        n_startup_trials: Trials that must be over before one is pruned.
        n_warmup_steps: Reports of a trial before which it is not pruned.
        interval_steps: Reports between two questions.
        n_min_trials: Trials with a value at a report before one is pruned there.
    """
