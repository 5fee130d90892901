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
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from rebnn_search.config import UserError, exit_on_user_error
from rebnn_search.config.command import python_command
from rebnn_search.training import CheckpointDirectory, Diverged, Recipe, Report, Trainer, dump_recipe, load_recipe
from rebnn_search.training.own import allow

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
    if args.out is not None and not args.out.strip():
        raise UserError("--out: names nothing: expected a directory")
    out = None if args.out is None else _Folder(Path(args.out))
    if out is None and args.resume:
        raise UserError("--resume needs --out, the directory that holds the checkpoints")
    if out is not None:
        out.check(recipe, args.resume)
    console = Console(stderr=args.json, highlight=False)
    run = _Run(args, recipe, console)
    if out is not None:
        run.reports = out.begin(recipe, args.recipe, run.trainer)
    diverged = None
    try:
        with _signals_to(run.on_signal):
            run.train(out)
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


class _Folder:
    """What ``--out`` names: ``recipe.yaml``, ``reports.jsonl``, ``checkpoints/``, and ``stage_one/`` of a recipe that has one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.recipe_file = path / "recipe.yaml"
        self._reports_file = path / "reports.jsonl"
        self._checkpoints = CheckpointDirectory(path / "checkpoints")

    def check(self, recipe: Recipe, resume: bool) -> None:
        """See that a new training finds nothing here, and a resumed one its own recipe.

        Raises:
            UserError: If not.
        """
        there = self.recipe_file.exists()
        if there and not resume:
            raise UserError(
                f"--out {self.path}: already holds a training: add --resume to go on with it, or choose another directory"
            )
        if resume and not there:
            raise UserError(f"--resume: {self.path} holds no training to go on with")
        if resume:
            before = load_recipe(self.recipe_file).dump()
            now = recipe.dump()
            changed = [key for key in before.keys() | now.keys() if before.get(key) != now.get(key)]
            if changed:
                raise UserError(
                    f"--resume: the recipe is no longer the one in {self.path}: {', '.join(sorted(changed))} changed"
                )

    def begin(self, recipe: Recipe, source: str, trainer: Trainer) -> list[Report]:
        """Bring the trainer to the newest checkpoint, if there is one; return the reports made until then."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if not self.recipe_file.exists():
                dump_recipe(self.recipe_file, recipe, f"Resolved from {source}")
        except OSError as error:
            raise UserError(f"--out {self.path}: cannot be written: {error.strerror}") from None
        found = self._checkpoints.latest()
        reports = []
        if found is not None:
            trainer.load_state_dict(found[1]["trainer"])
            reports = [Report.restore(report) for report in found[1]["reports"]]
        # What was reported after the checkpoint is reported again.
        self._reports_file.write_text("".join(map(_line, reports)), encoding="utf-8")
        return reports

    def keep(self, trainer: Trainer, reports: Sequence[Report]) -> None:
        """Write a checkpoint and the newest report."""
        state = {"trainer": trainer.state_dict(), "reports": [asdict(report) for report in reports]}
        self._checkpoints.save(reports[-1].step, state)
        with self._reports_file.open("a", encoding="utf-8") as file:
            file.write(_line(reports[-1]))


class _Run:
    """One call of the command: the trainer, what it reported, and the user's wish to stop."""

    def __init__(self, args: argparse.Namespace, recipe: Recipe, console: Console) -> None:
        self._quiet, self._console = args.json, console
        self._stopping = False
        self.reports: list[Report] = []
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total} reports"),
            TimeRemainingColumn(), console=console, transient=True, disable=self._quiet or not console.is_terminal,
        )  # fmt: skip
        workspace = None if args.out is None else Path(args.out)
        self.trainer = Trainer(recipe, device=args.device, workspace=workspace, listener=self._on_stage_one)

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """Let SIGINT or SIGTERM end training at the next report, a second one at once."""
        if self._stopping:
            raise KeyboardInterrupt
        self._stopping = True
        print("\nstopping at the next report; once more to stop at once", file=sys.stderr)

    def train(self, out: _Folder | None) -> None:
        """Train to the end.

        Raises:
            _Stopped: If the user wants to stop.
            Diverged: If training does.
        """
        trainer = self.trainer
        with self._progress:
            task = self._progress.add_task("starting", total=trainer.total_reports, completed=trainer.reports_done)
            while not trainer.finished:
                report = trainer.next_report()
                self.reports.append(report)
                if out is not None:
                    out.keep(trainer, self.reports)
                self._say(report, f"epoch {report.epoch:.0f}", report.epoch == int(report.epoch))
                self._progress.update(task, completed=report.step)
                if self._stopping and not trainer.finished:
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


def _table(reports: Sequence[Report]) -> Table:
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


def _line(report: Report) -> str:
    content: dict[str, Any] = {**asdict(report), "metrics": _finite(report.metrics)}
    return json.dumps(content) + "\n"


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
