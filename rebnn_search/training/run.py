"""One training from wherever it was interrupted: the loop over its reports, its log, its checkpoints.

Whatever trains something runs one of these: the command, a search's trial, stage one, a refit's seed, an estimator.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any, Protocol

from torch import nn

from rebnn_search.training.checkpoint import CheckpointDirectory
from rebnn_search.training.data.base import Data
from rebnn_search.training.data.facts import DataFacts, OtherDataError
from rebnn_search.training.distributed import World
from rebnn_search.training.report import Report
from rebnn_search.training.report_log import ReportLog, TrackedReport

CHECKPOINT_SHARE = 0.05
"""Most of a training's time that writing checkpoints may take; a stop loses at most what lies between two."""
REMEMBERED = 256
"""Reports that a checkpoint holds: what the log may lack where it was written elsewhere, or lost."""


class ReportingTrainer(Protocol):
    """What `rebnn_search.training.Trainer` is to a run and to stage one, which stand below it."""

    network: nn.Module
    data: Data
    reports_done: int

    @property
    def facts(self) -> DataFacts:
        """What its data are told by."""

    @property
    def total_reports(self) -> int:
        """How many reports there will be in all."""

    @property
    def finished(self) -> bool:
        """Whether the last report was made."""

    def next_report(self) -> Report:
        """Train up to the next report."""

    def state_dict(self) -> Mapping[str, object]:
        """Everything needed to go on."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where another trainer of the same recipe was."""

    def close(self) -> None:
        """Let go of the data and of the optimizer's hooks."""


class TrainingRun:
    """A trainer brought to where an earlier run of the same training was, and what is kept of its further way.

    A report is in the log before a checkpoint may hold it. One that is made again after a crash is known by its step and changes
    nothing there.

    Args:
        trainer: Not begun yet.
        checkpoints: Where they are; None keeps nothing.
        log: Where the reports go; None where somebody else keeps them.
        every_report: Write a checkpoint after each report, whatever it costs; else as `CHECKPOINT_SHARE` allows.
        saves: Whether this process writes the checkpoints; of the several of a trial only the first does.
        measure: What a report has besides, given its step: measured before it is kept, and so once.

    Raises:
        UnreadableCheckpointError: As `CheckpointDirectory.latest`.
        OtherDataError: If the data are not those that the training began with.
    """

    def __init__(
        self,
        trainer: ReportingTrainer,
        *,
        checkpoints: CheckpointDirectory | None = None,
        log: ReportLog | None = None,
        every_report: bool = False,
        saves: bool = True,
        measure: Callable[[int], Mapping[str, float]] | None = None,
    ) -> None:
        self.trainer = trainer
        self.reports: list[Report] = []
        """The last reports, at most `REMEMBERED` of those made before this run."""
        self._checkpoints, self._log = checkpoints, log
        self._every_report, self._saves, self._measure = every_report, saves, measure
        # Other processes may see an older one yet, on a disk that is shared or through a store: all go on from what rank 0 finds.
        found = None if checkpoints is None else World.current().from_first(checkpoints.latest)
        if found is not None:
            try:
                trainer.load_state_dict(trainer_state(found[1]))
            except OtherDataError as error:
                raise OtherDataError(f"{checkpoints.path if checkpoints else ''}: {error}: take that folder away") from None
            self.reports = [Report.restore(report) for report in found[1].get("reports", [])]
            self._keep(*self.reports)
        self._at_report = True
        self._saved_step = trainer.reports_done
        self._saved_at, self._save_seconds = time.monotonic(), 0.0

    @property
    def finished(self) -> bool:
        """Whether the last report was made."""
        return self.trainer.finished

    def __iter__(self) -> Iterator[Report]:
        """Train to the end, a report at a time."""
        while not self.finished:
            yield self.next_report()

    def next_report(self) -> Report:
        """Train up to the next report, and keep it.

        Raises:
            Diverged: If a loss or a weight is no finite number.
        """
        self._at_report = False
        report = self.trainer.next_report()
        if self._measure is not None:
            report = replace(report, metrics={**report.metrics, **self._measure(report.step)})
        self._at_report = True
        self.reports.append(report)
        self._keep(report)
        if self.finished or self._every_report or self._due():
            self.save()
        return report

    def since(self, step: int) -> list[Report]:
        """Reports of earlier runs after a step, which somebody else's log lacks; of a finished training the last in any case.

        The worker, its driver or the driver's machine may have died between checkpoint and log.
        """
        missing = [report for report in self.reports if report.step > step]
        return missing or (self.reports[-1:] if self.finished else [])

    def _keep(self, *reports: Report) -> None:
        if self._log is None:
            return
        for report in reports:
            self._log.append(TrackedReport.of(report, report.step == self.trainer.total_reports))

    def _due(self) -> bool:
        return self._save_seconds <= CHECKPOINT_SHARE * (time.monotonic() - self._saved_at)

    def save(self) -> None:
        """Write a checkpoint of all that was reported, unless that was done, or training broke off between two reports.

        Raises:
            OSError: If it cannot be written.
        """
        if self._checkpoints is None or not self._saves or not self._at_report or self.trainer.reports_done == self._saved_step:
            return
        start = time.monotonic()
        state = {"trainer": self.trainer.state_dict(), "reports": [asdict(report) for report in self.reports[-REMEMBERED:]]}
        self._checkpoints.save(self.trainer.reports_done, state)
        self._saved_step, self._saved_at = self.trainer.reports_done, time.monotonic()
        self._save_seconds = self._saved_at - start

    def close(self) -> None:
        """Let go of the trainer."""
        self.trainer.close()


def trainer_state(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """The trainer's part of what a checkpoint holds; stage one's of earlier versions are that alone."""
    state: dict[str, Any] = checkpoint.get("trainer", checkpoint)
    return state
