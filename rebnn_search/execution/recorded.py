"""Recorded trainings for the simulated executor, from a table of a search's curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from rebnn_search.config import UserError
from rebnn_search.execution.simulated import RecordedReport
from rebnn_search.study.attributes import DIVERGED
from rebnn_search.study.curves import (
    EPOCH,
    METRICS,
    REASON_COLUMN,
    SECONDS,
    STATE,
    STEP,
    TRIAL,
    has_value,
    params_of,
    read_curves,
)
from rebnn_search.study.space import Space, Value

if TYPE_CHECKING:
    import pandas as pd

Key = frozenset[tuple[str, Value]]


class RecordedCurves:
    """The trainings of a search's table of curves: the `rebnn_search.execution.simulated.Curves` of a simulation.

    Trials that were trained to their end are curves, and those that diverged, which end in that failure, one report's time after the
    last. What a pruner or another failure cut short is none.

    Args:
        table: As `rebnn_search.study.curves.curves_table` makes it.
        space: Of the search.

    Attributes:
        configurations: Those that were recorded, in the order of their trials.
        trials: The number of each one's trial.

    Raises:
        UserError: If a value is not of the space, two trials have one configuration, or there is no curve at all.
    """

    def __init__(self, table: pd.DataFrame, space: Space) -> None:
        self.configurations: list[dict[str, Value]] = []
        self.trials: list[int] = []
        self._curves: dict[Key, Sequence[RecordedReport]] = {}
        missing = [name for name in space if name not in table]
        if missing:
            raise UserError(f"the table of curves has no column {missing[0]}, a parameter of the space")
        for number, rows in table.sort_values([TRIAL, STEP], kind="stable").groupby(TRIAL, sort=True):
            reports = _reports(rows)
            if not reports:
                continue
            params = params_of(rows.iloc[0], space)
            if _key(params) in self._curves:
                raise UserError(f"trial {number} of the table of curves has the configuration of an earlier one: {params}")
            self._curves[_key(params)] = reports
            self.configurations.append(params)
            self.trials.append(int(number))
        if not self._curves:
            raise UserError("the table of curves has no trial that was trained to its end")

    @classmethod
    def read(cls, path: Path, space: Space) -> RecordedCurves:
        """Read a table's file.

        Raises:
            UserError: As the constructor, and if the file cannot be read.
        """
        try:
            return cls(read_curves(path), space)
        except UserError as error:
            message = str(error)
            raise UserError(message if message.startswith(str(path)) else f"{path}: {message}") from None

    def __call__(self, params: Mapping[str, Any]) -> Sequence[RecordedReport]:
        """The training of a configuration.

        Raises:
            UserError: If it was not recorded.
        """
        try:
            return self._curves[_key(params)]
        except KeyError:
            raise UserError(f"no curve was recorded of {dict(params)}") from None

    def __len__(self) -> int:
        return len(self.configurations)


def _key(params: Mapping[str, Any]) -> Key:
    return frozenset(params.items())


def _reports(rows: pd.DataFrame) -> list[RecordedReport]:
    """A trial's curve; empty where it is none."""
    state, reason = rows[STATE].iloc[0], rows[REASON_COLUMN].iloc[0]
    diverged = state == "FAIL" and str(reason).startswith(DIVERGED)
    if state != "COMPLETE" and not diverged:
        return []
    reports: list[RecordedReport] = []
    last = 0.0
    for row in rows[rows[STEP].notna()].to_dict("records"):
        metrics = {name: float(row[name]) for name in METRICS if has_value(row[name])}
        reports.append(RecordedReport(float(row[SECONDS]) - last, float(row[EPOCH]), metrics))
        last = float(row[SECONDS])
    if diverged:
        usual = median([report.seconds for report in reports]) if reports else 0.0
        reports.append(RecordedReport(usual, reports[-1].epoch if reports else 0.0, {}, str(reason)))
    return reports
