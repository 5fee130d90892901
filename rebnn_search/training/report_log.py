"""What a training reported, on disk before anyone else is notified.

One file a training, one JSON line a report. Ledger and tracking can both be brought up to date from it after a crash, and a report
that an interrupted training makes again is recognised by its step.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from rebnn_search.base.files import make_directory, sync_directory
from rebnn_search.base.metrics import VAL_LOSS, VAL_TOP1
from rebnn_search.training.report import Report


@dataclass(frozen=True)
class TrackedReport:
    """A report as it was kept.

    Attributes:
        step: Number of the report in its training, from 1.
        epoch: Epochs trained, with fraction.
        timestamp: When it was kept, in milliseconds since 1970.
        final: Whether it is the last of a training that came to its end.
        metrics: Values by name.
        latent: The report's histogram of latent weights as plain data, if it has one.
        iteration: Optimizer steps taken; 0 where a version before this one wrote it.
    """

    step: int
    epoch: float
    timestamp: int
    final: bool
    metrics: Mapping[str, float]
    latent: Mapping[str, Any] | None = None
    iteration: int = 0

    @classmethod
    def of(cls, report: Report, final: bool) -> TrackedReport:
        """A trainer's report as it is now."""
        latent = None if report.latent is None else asdict(report.latent)
        return cls(report.step, report.epoch, int(time.time() * 1000), final, report.metrics, latent, report.iteration)


_REPORT = TypeAdapter(TrackedReport)
NEEDED = (VAL_LOSS, VAL_TOP1)
"""Metrics that every report of a search's trial has."""


@dataclass(frozen=True)
class _Parsed:
    """The good reports of a file, the bytes they take, and what ends them: nothing, or what is wrong with a whole line."""

    reports: list[TrackedReport]
    size: int
    damage: str | None = None


def read_reports(path: Path) -> list[TrackedReport]:
    """The whole reports in a file up to the first damaged one; it may be missing, torn at its end or growing."""
    return _parse(path, ()).reports


def _parse(path: Path, needed: Sequence[str]) -> _Parsed:
    reports: list[TrackedReport] = []
    size = 0
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    for number, line in enumerate(lines, start=1):
        if not line.endswith(b"\n"):
            break
        try:
            report = _read(line)
            wrong = _wrong(report, reports[-1].step if reports else 0, needed)
        except ValidationError as error:
            first = error.errors()[0]
            wrong = " ".join([*(str(part) for part in first["loc"]), first["msg"].lower()])
        if wrong is not None:
            return _Parsed(reports, size, f"line {number}: {wrong}")
        size += len(line)
        reports.append(report)
    return _Parsed(reports, size)


def _read(line: bytes) -> TrackedReport:
    try:
        return _REPORT.validate_json(line, strict=True)
    except ValidationError:
        # The train command of earlier versions wrote neither time nor end, and null for a metric that was not measured.
        content = None
        if b'"iteration"' in line and b'"timestamp"' not in line:
            with suppress(ValueError, RecursionError):  # no JSON, or no text
                content = json.loads(line)
        if not isinstance(content, dict) or not isinstance(content.get("metrics"), dict):
            raise
        metrics = {name: math.nan if value is None else value for name, value in content["metrics"].items()}
        return _REPORT.validate_python({**content, "metrics": metrics, "timestamp": 0, "final": False}, strict=True)


def _wrong(report: TrackedReport, last: int, needed: Sequence[str]) -> str | None:
    """What is wrong with a report after one of step ``last``, besides its types."""
    if report.step <= last:
        return f"step {report.step} does not come after {last}"
    if report.latent is not None and not isinstance(report.latent.get("counts"), dict):
        return "latent counts are missing"
    return next((f"{name} is no number" for name in needed if math.isnan(report.metrics.get(name, math.nan))), None)


class ReportLog:
    """The reports of one training, in the order of their steps, held by the one who writes them.

    Opening cuts off a last line that a crash left torn. A damaged line is more than a crash leaves: it and what follows are cut off
    too, the file as it was is kept as ``reports.jsonl.damaged``, and ``damage`` says where and what.

    Args:
        path: The file, made with the first report; None keeps them in memory alone.
        needed: Metrics that each report must have.
    """

    def __init__(self, path: Path | None, needed: Sequence[str] = ()) -> None:
        self._path, self._named = path, False
        parsed = _Parsed([], 0) if path is None else _parse(path, needed)
        self.reports, self.damage = parsed.reports, parsed.damage
        if path is not None and path.exists() and parsed.size < path.stat().st_size:
            if parsed.damage is not None:
                shutil.copyfile(path, path.with_name(f"{path.name}.damaged"))
            os.truncate(path, parsed.size)

    def sync(self) -> None:
        """Put on the disk what a killed process may have left on its way there: to be done before anybody else is told of it."""
        if self._path is not None and self._path.exists():
            with self._path.open("rb") as file:
                os.fsync(file.fileno())
            sync_directory(self._path.parent)
            self._named = True

    @property
    def last_step(self) -> int:
        """The step of the last report, 0 if there is none."""
        return self.reports[-1].step if self.reports else 0

    def at(self, step: int) -> TrackedReport:
        """The report of a step that is there."""
        return next(report for report in reversed(self.reports) if report.step == step)

    def append(self, report: TrackedReport) -> bool:
        """Keep a report, on disk when this returns. False if its step was there already."""
        if report.step <= self.last_step:
            return False
        if self._path is not None:
            make_directory(self._path.parent)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(report)) + "\n")
                file.flush()
                os.fsync(file.fileno())
            if not self._named:
                sync_directory(self._path.parent)  # of whichever process made the file
                self._named = True
        self.reports.append(report)
        return True
