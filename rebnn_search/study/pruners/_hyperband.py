"""Hyperband."""

from __future__ import annotations

import optuna

from rebnn_search.study.pruners.base import PRUNERS


@PRUNERS.register("hyperband")
class Hyperband(optuna.pruners.HyperbandPruner):
    """Successive halving with several first rungs, trials shared out among them (Li et al., arXiv 1603.06560).

    Args:
        min_resource: Reports of the least first rung.
        max_resource: Reports of a whole training; ``auto`` takes them from the first trial that was trained to its end.
        reduction_factor: Of trials, from rung to rung.
        bootstrap_count: As of `successive_halving`.
    """
