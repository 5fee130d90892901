"""Optuna's pruners by name. A pruner sees the objective at each report; its steps count a trial's reports from 1."""

from __future__ import annotations

from typing import Any

import optuna
from optuna.pruners import BasePruner

from rebnn_search.config import Component
from rebnn_search.method.registry import Registry

PRUNERS: Registry[Any] = Registry("pruner")
"""Options are the arguments of Optuna's class of that name."""

PRUNERS.register("median")(optuna.pruners.MedianPruner)
PRUNERS.register("percentile")(optuna.pruners.PercentilePruner)
PRUNERS.register("successive_halving")(optuna.pruners.SuccessiveHalvingPruner)
PRUNERS.register("hyperband")(optuna.pruners.HyperbandPruner)
PRUNERS.register("threshold")(optuna.pruners.ThresholdPruner)
PRUNERS.register("wilcoxon")(optuna.pruners.WilcoxonPruner)
PRUNERS.register("none")(optuna.pruners.NopPruner)


@PRUNERS.register("patient")
class Patient(optuna.pruners.PatientPruner):
    """Prune a trial that has not improved for ``patience`` reports, whatever the others do."""

    def __init__(self, patience: int, min_delta: float = 0.0) -> None:
        super().__init__(None, patience=patience, min_delta=min_delta)


def build_pruner(pruner: Component[Any]) -> BasePruner:
    """Construct the pruner a file asked for."""
    built: BasePruner = pruner.build()
    return built
