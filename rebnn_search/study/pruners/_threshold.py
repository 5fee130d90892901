"""Pruning by bounds."""

from __future__ import annotations

import optuna

from rebnn_search.study.pruners.base import PRUNERS


@PRUNERS.register("threshold")
class Threshold(optuna.pruners.ThresholdPruner):
    """Prune a trial whose value leaves given bounds, whatever the others do.

    Args:
        lower: Least value.
        upper: Largest value.
        n_warmup_steps: Reports of a trial before which it is not pruned.
        interval_steps: Reports between two questions.
    """
