"""Pruning by lack of progress."""

from __future__ import annotations

import optuna

from rebnn_search.study.pruners.base import PRUNERS


@PRUNERS.register("patient")
class Patient(optuna.pruners.PatientPruner):
    """Prune a trial that has not improved for ``patience`` reports, whatever the others do.

    Args:
        patience: Reports.
        min_delta: What counts as an improvement must be larger.
    """

    def __init__(self, patience: int, min_delta: float = 0.0) -> None:
        super().__init__(None, patience=patience, min_delta=min_delta)
