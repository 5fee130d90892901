"""Pruning by a signed-rank test."""

from __future__ import annotations

import optuna

from rebnn_search.study.pruners.base import PRUNERS


@PRUNERS.register("wilcoxon")
class Wilcoxon(optuna.pruners.WilcoxonPruner):
    """Prune a trial that a Wilcoxon test of its reports, one by one against the best trial's, finds to be worse.

    Args:
        p_threshold: Level of the test.
        n_startup_steps: Reports before which none is pruned.
    """
