"""One call of the train command: the training, its display, its table."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from rebnn_search.base.metrics import FLIP_RATIO, IMAGES_PER_SECOND, TRAIN_LOSS, VAL_LOSS, VAL_TOP1, VAL_TOP5
from rebnn_search.base.screen import is_screen
from rebnn_search.training import (
    CheckpointDirectory,
    Recipe,
    Report,
    ReportLog,
    Stopped,
    TrackedReport,
    Trainer,
    TrainingFolder,
    TrainingRun,
)
from rebnn_search.training.data.facts import describe_classes

COLUMNS = (
    ("epoch", None, ".2f"), ("train loss", TRAIN_LOSS, ".4f"), ("val loss", VAL_LOSS, ".4f"), ("Top-1", VAL_TOP1, ".2f"),
    ("Top-5", VAL_TOP5, ".2f"), ("flip ratio", FLIP_RATIO, ".2e"),
    ("images/s", IMAGES_PER_SECOND, ".0f"),
)  # fmt: skip
TABLE_ROWS = 20
"""Epochs in the table at the end; of longer trainings as many, evenly spread, the last among them."""


class Training:
    """One call of the command: the training, what it reported, and the user's wish to stop."""

    def __init__(self, args: argparse.Namespace, recipe: Recipe, folder: TrainingFolder | None, console: Console) -> None:
        self._quiet, self._console = args.json, console
        self._stopping = False
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total} reports"),
            TimeRemainingColumn(), console=console, transient=True, disable=self._quiet or not is_screen(console),
        )  # fmt: skip
        workspace = Path(args.workspace) if args.workspace is not None else None if folder is None else folder.path
        self.trainer = Trainer(recipe, device=args.device, workspace=workspace, listener=self._on_stage_one)
        self._log = ReportLog(None if folder is None else folder.report_file)
        checkpoints = None if folder is None else CheckpointDirectory(folder.checkpoint_path)
        self._training = TrainingRun(self.trainer, checkpoints=checkpoints, log=self._log)

    @property
    def reports(self) -> list[TrackedReport]:
        """All reports, those of earlier calls included."""
        return self._log.reports

    def stop(self) -> None:
        """End training at its next report."""
        self._stopping = True

    def train(self) -> None:
        """Train to the end.

        Raises:
            Stopped: If the user wants to stop.
            Diverged: If training does.
        """
        if not self._quiet:
            self._console.print(f"data: {describe_classes(self.trainer.data)}", soft_wrap=True, markup=False)
        with self._progress:
            task = self._progress.add_task("starting", total=self.trainer.total_reports, completed=self.trainer.reports_done)
            for report in self._training:
                self._say(report, f"epoch {report.epoch:.0f}", report.epoch == int(report.epoch))
                self._progress.update(task, completed=report.step)
                if self._stopping and not self._training.finished:
                    self._training.save()
                    raise Stopped

    def _on_stage_one(self, report: Report) -> None:
        self._say(report, f"stage one, epoch {report.epoch:.0f}", True)
        if self._stopping:
            raise Stopped

    def _say(self, report: Report, when: str, whole_epoch: bool) -> None:
        result = f"train loss {report.metrics[TRAIN_LOSS]:.4f}"
        if VAL_LOSS in report.metrics:
            result = f"val loss {report.metrics[VAL_LOSS]:.4f}  Top-1 {report.metrics[VAL_TOP1]:.2f} %"
        if self._progress.tasks:
            self._progress.update(self._progress.tasks[0].id, description=f"{when}  {result}")
        if whole_epoch and not self._quiet and not is_screen(self._console):
            self._console.print(f"{when}  {result}", soft_wrap=True)


def epochs_table(reports: Sequence[TrackedReport]) -> Table:
    """The reports at epochs' ends."""
    table = Table(box=None, padding=(0, 1))
    # Reports hold nothing of a validation split where all was trained on.
    columns = [column for column in COLUMNS if column[1] is None or not reports or column[1] in reports[-1].metrics]
    for name, _, _ in columns:
        table.add_column(name, justify="right")
    epochs = [report for report in reports if report.epoch == int(report.epoch)]
    every = -(-len(epochs) // TABLE_ROWS) or 1
    for report in reversed(epochs[::-1][::every]):
        table.add_row(*(format(report.metrics[key] if key else report.epoch, form) for _, key, form in columns))
    return table
