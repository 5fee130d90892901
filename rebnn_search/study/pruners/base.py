"""Pruners by name. A pruner sees the objective at each report; its steps count a trial's reports from 1.

To add one: a subclass of Optuna's `BasePruner`, or of `rebnn_search.study.pausing.PauseRule`, under ``@PRUNERS.register("name")``
in a module beside this file, found by itself. Its constructor's arguments are its options in a search file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import optuna
from optuna.pruners import BasePruner

from rebnn_search.base.registry import Registry
from rebnn_search.config import Component
from rebnn_search.study.pausing import NoPauses, PauseRule

Pruner = BasePruner | PauseRule
PRUNERS: Registry[Pruner] = Registry("pruner")
"""Pruners by name."""

RUNG = "completed_rung_"
"""System attributes of successive halving: a trial's value at each rung it came to, numbered from 0."""


def build_pruner(pruner: Component[Pruner]) -> tuple[BasePruner, PauseRule]:
    """Construct the pruner a file asked for: what Optuna asks, and who waits. One of the two does nothing."""
    built = pruner.build()
    return (optuna.pruners.NopPruner(), built) if isinstance(built, PauseRule) else (built, NoPauses())


def settle(pruner: BasePruner, reports: int | None) -> None:
    """Fix what ``auto`` leaves open and the brackets of Hyperband, from the record alone.

    Optuna fixes them at a process's first question, from the trials that are complete by then: a resumed search would find others,
    and until that question its sampler would see the trials of all brackets.

    Args:
        pruner: As `build_pruner` made it.
        reports: Reports of the first trial that was trained to its end; None while there is none.
    """
    if isinstance(pruner, optuna.pruners.SuccessiveHalvingPruner) and pruner._min_resource is None and reports is not None:
        pruner._min_resource = max(reports // 100, 1)
    if isinstance(pruner, optuna.pruners.HyperbandPruner) and not pruner._pruners:
        if pruner._max_resource == "auto" and reports is not None:
            pruner._max_resource = reports + 1
        if pruner._max_resource != "auto":
            none: Any = None  # it would only be asked for the trials that ``auto`` needs
            pruner._try_initialization(none)


def unjudged(attrs: Mapping[str, Any], value: float | None) -> dict[str, Any]:
    """A trial's system attributes without the rungs of successive halving that its last value brought it to.

    A search may have been killed between a rung's record and the end that it meant: asked again about the same value, the pruner
    must not take that rung for passed.
    """
    left = dict(attrs)
    rung = sum(key.startswith(RUNG) for key in left) - 1
    while rung >= 0 and left.get(f"{RUNG}{rung}") == value:
        del left[f"{RUNG}{rung}"]
        rung -= 1
    return left
