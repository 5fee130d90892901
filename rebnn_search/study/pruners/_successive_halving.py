"""Asynchronous successive halving."""

from __future__ import annotations

import optuna

from rebnn_search.study.pruners.base import PRUNERS


@PRUNERS.register("successive_halving")
class SuccessiveHalving(optuna.pruners.SuccessiveHalvingPruner):
    """At each rung keep the best of every ``reduction_factor`` trials; rungs are that factor apart (Li et al., arXiv 1810.05934).

    Args:
        min_resource: Reports of the first rung; ``auto`` is a hundredth of those of the first trial that was trained to its end.
        reduction_factor: Of trials, from rung to rung.
        min_early_stopping_rate: Rungs left out at the beginning.
        bootstrap_count: Trials that a rung must have seen before one goes on from it.
    """
