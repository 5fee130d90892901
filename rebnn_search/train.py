"""``python -m rebnn_search.train RECIPE.yaml``: train one trial, without Ray and without a search."""

from __future__ import annotations

import argparse
import json
import math
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from rebnn_search.base.command import python_command
from rebnn_search.config import UserError, exit_on_user_error
from rebnn_search.training import (
    CheckpointDirectory,
    Diverged,
    Recipe,
    Report,
    ReportLog,
    TrackedReport,
    Trainer,
    TrainingFolder,
    TrainingRun,
    load_recipe,
)
from rebnn_search.training.custom_parts import allow

COLUMNS = (
    ("epoch", None, ".2f"), ("train loss", "train/loss", ".4f"), ("val loss", "val/loss", ".4f"), ("Top-1", "val/top1", ".2f"),
    ("Top-5", "val/top5", ".2f"), ("flip ratio", "oscillation/mean/flip_ratio", ".2e"),
    ("images/s", "train/images_per_second", ".0f"),
)  # fmt: skip
TABLE_ROWS = 20
"""Epochs in the table at the end; of longer trainings as many, evenly spread, the last among them."""


class _Stopped(Exception):  # noqa: N818 - no error: the user wished it
    """The user wants training to end here."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(prog="python -m rebnn_search.train", description="Train one recipe.")
    p.add_argument("recipe", metavar="RECIPE.yaml", help="the recipe file")
    p.add_argument("--set", metavar="KEY=VALUE", action="append", default=[], dest="overrides",
                   help="change a value of the recipe (optimizer.lr=1e-3); may be repeated")  # fmt: skip
    p.add_argument("--allow", metavar="MODULE:NAME", action="append", default=[],
                   help="let the recipe name this function of yours as network or dataset; may be repeated")  # fmt: skip
    p.add_argument("--out", metavar="DIR", help="keep checkpoints, reports and the resolved recipe here")
    p.add_argument("--resume", action="store_true", help="go on from the newest checkpoint in --out")
    p.add_argument("--device", help="as torch names it (default: the first GPU, else the CPU)")
    p.add_argument("--test", action="store_true", help="read the test split at the end, once")
    p.add_argument("--json", action="store_true", help="print one JSON object instead of progress and table")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Returns 0, 1 if training diverged, 130 if it was interrupted."""
    args = parser().parse_args(argv)
    for part in args.allow:
        allow(part)
    recipe = load_recipe(args.recipe, args.overrides, new=not args.resume)
    folder = None if args.out is None else TrainingFolder(Path(args.out))
    if folder is None and args.resume:
        raise UserError("--resume needs --out, the directory that holds the checkpoints")
    if folder is not None:
        _check(folder, recipe, args.resume)
    console = Console(stderr=args.json, highlight=False)
    run = _Run(args, recipe, folder, console)
    if folder is not None:
        try:
            folder.write_recipe(recipe, f"Resolved from {args.recipe}")
        except OSError as error:
            raise UserError(f"--out {folder.path}: cannot be written: {error.strerror}") from None
    diverged = None
    try:
        with _signals_to(run.on_signal):
            run.train()
    except (_Stopped, KeyboardInterrupt):
        _say_how_to_resume(args, console)
        return 130
    except Diverged as error:
        diverged = error.reason
        print(f"diverged: {diverged}", file=sys.stderr)
    test = run.trainer.evaluate("test") if args.test and diverged is None else None
    if args.json:
        last = run.reports[-1].metrics if run.reports else {}
        result = {"recipe": recipe.dump(), "reports": run.trainer.reports_done, "metrics": _finite(last), "test": test,
                  "diverged": diverged}  # fmt: skip
        print(json.dumps(result, allow_nan=False))
    else:
        console.print(_table(run.reports))
        if test is not None:
            console.print(f"test: loss {test['loss']:.4f}, Top-1 {test['top1']:.2f} %, Top-5 {test['top5']:.2f} %")
    return 0 if diverged is None else 1


def _check(folder: TrainingFolder, recipe: Recipe, resume: bool) -> None:
    """See that a new training finds nothing in its folder, and a resumed one its own recipe.

    Raises:
        UserError: If not.
    """
    there = folder.recipe_file.exists()
    if there and not resume:
        raise UserError(
            f"--out {folder.path}: already holds a training: add --resume to go on with it, or choose another directory"
        )
    if resume and not there:
        raise UserError(f"--resume: {folder.path} holds no training to go on with")
    if resume and (changed := folder.changes(recipe)):
        raise UserError(f"--resume: the recipe is no longer the one in {folder.path}: {', '.join(changed)} changed")


class _Run:
    """One call of the command: the training, what it reported, and the user's wish to stop."""

    def __init__(self, args: argparse.Namespace, recipe: Recipe, folder: TrainingFolder | None, console: Console) -> None:
        self._quiet, self._console = args.json, console
        self._stopping = False
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total} reports"),
            TimeRemainingColumn(), console=console, transient=True, disable=self._quiet or not console.is_terminal,
        )  # fmt: skip
        workspace = None if folder is None else folder.path
        self.trainer = Trainer(recipe, device=args.device, workspace=workspace, listener=self._on_stage_one)
        self._log = ReportLog(None if folder is None else folder.report_file)
        checkpoints = None if folder is None else CheckpointDirectory(folder.checkpoint_path)
        self._training = TrainingRun(self.trainer, checkpoints=checkpoints, log=self._log)

    @property
    def reports(self) -> list[TrackedReport]:
        """All reports, those of earlier calls included."""
        return self._log.reports

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """Let SIGINT or SIGTERM end training at the next report, a second one at once."""
        if self._stopping:
            raise KeyboardInterrupt
        self._stopping = True
        print("\nstopping at the next report; once more to stop at once", file=sys.stderr)

    def train(self) -> None:
        """Train to the end.

        Raises:
            _Stopped: If the user wants to stop.
            Diverged: If training does.
        """
        with self._progress:
            task = self._progress.add_task("starting", total=self.trainer.total_reports, completed=self.trainer.reports_done)
            for report in self._training:
                self._say(report, f"epoch {report.epoch:.0f}", report.epoch == int(report.epoch))
                self._progress.update(task, completed=report.step)
                if self._stopping and not self._training.finished:
                    self._training.save()
                    raise _Stopped

    def _on_stage_one(self, report: Report) -> None:
        self._say(report, f"stage one, epoch {report.epoch:.0f}", True)
        if self._stopping:
            raise _Stopped

    def _say(self, report: Report, when: str, whole_epoch: bool) -> None:
        result = f"train loss {report.metrics['train/loss']:.4f}"
        if "val/loss" in report.metrics:
            result = f"val loss {report.metrics['val/loss']:.4f}  Top-1 {report.metrics['val/top1']:.2f} %"
        if self._progress.tasks:
            self._progress.update(self._progress.tasks[0].id, description=f"{when}  {result}")
        if whole_epoch and not self._quiet and not self._console.is_terminal:
            self._console.print(f"{when}  {result}", soft_wrap=True)


@contextmanager
def _signals_to(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def _table(reports: Sequence[TrackedReport]) -> Table:
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


def _finite(metrics: Mapping[str, float]) -> dict[str, float | None]:
    """Metrics for JSON, which has no NaN: null where there was nothing to measure."""
    return {name: value if math.isfinite(value) else None for name, value in metrics.items()}


def _say_how_to_resume(args: argparse.Namespace, console: Console) -> None:
    if args.out is None:
        console.print("stopped; without --out nothing was kept")
        return
    words = [*python_command(), "-m", "rebnn_search.train", args.recipe, "--out", args.out, "--resume"]
    for override in args.overrides:
        words += ["--set", override]
    for part in args.allow:
        words += ["--allow", part]
    for option in ("device", "test", "json"):
        value = getattr(args, option)
        words += [f"--{option}", *([value] if isinstance(value, str) else [])] if value else []
    console.print(f"stopped; continue with\n  {shlex.join(words)}", soft_wrap=True)


if __name__ == "__main__":
    exit_on_user_error(main)
