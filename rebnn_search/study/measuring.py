"""Measures a trial's network where it was trained, so that the values are part of the trial's reports."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rebnn_search.base.layout import MODEL_FILE
from rebnn_search.config import Choose, UserError
from rebnn_search.export import describe, export_packed
from rebnn_search.export.formats import load_packed
from rebnn_search.study.objectives import OBJECTIVES, MeasuredNetwork, MeasuredObjective
from rebnn_search.training import Trainer


def measure(trainer: Trainer, objectives: Sequence[Mapping[str, object]]) -> Callable[[int], dict[str, float]] | None:
    """What a trial's reports have besides training's own metrics: static objectives the first and the last, others the last.

    A report is on disk before anyone knows of it, so a value that was measured once stands, wherever the search is killed.

    Args:
        trainer: That trains.
        objectives: What is measured, as a search file has it.

    Returns:
        A function from a report's step to the values by name, which raises UserError if one cannot be measured; None where nothing is
        measured.
    """
    choose = Choose(OBJECTIVES, "objective")
    chosen = {component.name: component.build() for component in (choose.validate(dict(data)) for data in objectives)}
    measured = {name: objective for name, objective in chosen.items() if isinstance(objective, MeasuredObjective)}
    if not measured:
        return None

    def values(step: int) -> dict[str, float]:
        last = step == trainer.total_reports
        due = [name for name, objective in measured.items() if last or (step == 1 and objective.static)]
        return {name: _finite(name, measured[name].measure(measured_network(trainer))) for name in due}

    return values


def _finite(name: str, value: float) -> float:
    if not math.isfinite(value):
        raise UserError(f"objective {name}: measured {value}, which is no finite number")
    return float(value)


def measured_network(trainer: Trainer) -> MeasuredNetwork:
    """A trainer's network as its packed file has it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / MODEL_FILE
        export_packed(trainer.network, describe(trainer.recipe, trainer.data), path)
        content = path.read_bytes()
        network, info = load_packed(content, path)
    return MeasuredNetwork(network, info, content)
