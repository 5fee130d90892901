"""What each trial reported, kept by the driver before anyone else hears of it.

One file a trial, one JSON line a report. The ledger and tracking can both be brought up to date from it after a crash, and a
report that a restarted trial makes again is recognised by its step.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class TrackedReport:
    """A report as the driver received it.

    Attributes:
        step: Number of the report in its trial, from 1.
        epoch: Epochs trained, with fraction.
        timestamp: When the driver received it, in milliseconds since 1970.
        final: Whether it is the last of a trial trained to its end.
        metrics: Values by name.
        latent: The report's histogram of latent weights as plain data, if it has one.
    """

    step: int
    epoch: float
    timestamp: int
    final: bool
    metrics: Mapping[str, float]
    latent: Mapping[str, Any] | None = None


def read_reports(path: Path) -> list[TrackedReport]:
    """The whole reports in a file, which may be missing, torn at its end or growing."""
    return _parse(path)[0]


def _parse(path: Path) -> tuple[list[TrackedReport], int]:
    """The reports in a file and the number of bytes they take."""
    reports: list[TrackedReport] = []
    size = 0
    if path.exists():
        for line in path.read_bytes().splitlines(keepends=True):
            try:
                report = TrackedReport(**json.loads(line))
            except (ValueError, TypeError):
                break
            if not line.endswith(b"\n"):
                break
            size += len(line)
            reports.append(report)
    return reports, size


class ReportLog:
    """The reports of one trial, in the order of their steps, held by the one who writes them.

    Opening cuts off a last line that a crash left torn.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.reports, size = _parse(path)
        if path.exists() and size < path.stat().st_size:
            os.truncate(path, size)

    @property
    def last_step(self) -> int:
        """The step of the last report, 0 if there is none."""
        return self.reports[-1].step if self.reports else 0

    def append(self, report: TrackedReport) -> bool:
        """Keep a report, on disk when this returns. False if its step was there already."""
        if report.step <= self.last_step:
            return False
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(report)) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.reports.append(report)
        return True
