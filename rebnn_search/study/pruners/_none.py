"""No pruning."""

from __future__ import annotations

import optuna

from rebnn_search.study.pruners.base import PRUNERS


@PRUNERS.register("none")
class Never(optuna.pruners.NopPruner):
    """Prune no trial. No options."""
