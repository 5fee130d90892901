"""``python -m rebnn_search.train RECIPE.yaml``: train one trial, without Ray and without a search."""

from __future__ import annotations

import argparse
import json
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from rebnn_search.config import UserError, exit_on_user_error
from rebnn_search.config.command import python_command
from rebnn_search.training import CheckpointDirectory, Diverged, Recipe, Report, Trainer, dump_recipe, load_recipe

COLUMNS = (
    ("epoch", None, ".2f"), ("train loss", "train/loss", ".4f"), ("val loss", "val/loss", ".4f"), ("Top-1", "val/top1", ".2f"),
    ("Top-5", "val/top5", ".2f"), ("flip ratio", "oscillation/mean/flip_ratio", ".2e"),
    ("images/s", "train/images_per_second", ".0f"),
)  # fmt: skip


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(prog="python -m rebnn_search.train", description="Train one recipe.")
    p.add_argument("recipe", metavar="RECIPE.yaml", help="the recipe file")
    p.add_argument("--set", metavar="KEY=VALUE", action="append", default=[], dest="overrides",
                   help="change a value of the recipe (optimizer.lr=1e-3); may be repeated")  # fmt: skip
    p.add_argument("--out", metavar="DIR", help="keep checkpoints, reports and the resolved recipe here")
    p.add_argument("--resume", action="store_true", help="go on from the newest checkpoint in --out")
    p.add_argument("--device", help="as torch names it (default: the first GPU, else the CPU)")
    p.add_argument("--test", action="store_true", help="read the test split at the end, once")
    p.add_argument("--json", action="store_true", help="print one JSON object instead of progress and table")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Returns 0, 1 if training diverged, 130 if it was interrupted."""
    args = parser().parse_args(argv)
    recipe = load_recipe(args.recipe, args.overrides)
    checkpoints = _checkpoints(args, recipe)
    trainer = Trainer(recipe, device=args.device, workspace=Path(args.out) if args.out else None)
    reports: list[Report] = []
    if args.resume and checkpoints is not None:
        found = checkpoints.latest()
        if found is None:
            raise UserError(f"--resume: {args.out} holds no checkpoint to go on from")
        trainer.load_state_dict(found[1])
    elif checkpoints is not None:
        checkpoints.path.mkdir(parents=True)
        dump_recipe(Path(args.out) / "recipe.yaml", recipe, f"Resolved from {args.recipe}")
    stop = _stop_on_signals()
    console = Console(stderr=args.json, highlight=False)
    try:
        _train(trainer, checkpoints, console, reports, stop, args.json)
    except Diverged as error:
        print(f"diverged: {error.reason}", file=sys.stderr)
        return 1
    if not trainer.finished:
        _say_how_to_resume(args, console)
        return 130
    test = trainer.evaluate("test") if args.test else None
    if args.json:
        last = dict(reports[-1].metrics) if reports else {}
        print(json.dumps({"recipe": recipe.dump(), "reports": trainer.reports_done, "metrics": last, "test": test}))
    elif test is not None:
        console.print(f"test: loss {test['loss']:.4f}, Top-1 {test['top1']:.2f} %, Top-5 {test['top5']:.2f} %")
    return 0


def _checkpoints(args: argparse.Namespace, recipe: Recipe) -> CheckpointDirectory | None:
    if args.out is None:
        if args.resume:
            raise UserError("--resume needs --out, the directory that holds the checkpoints")
        return None
    directory = CheckpointDirectory(Path(args.out) / "checkpoints")
    if directory.path.exists() and not args.resume:
        raise UserError(
            f"--out {args.out}: already holds a training: add --resume to go on with it, or choose another directory"
        )
    if args.resume:
        before = load_recipe(Path(args.out) / "recipe.yaml")
        changed = [key for key, value in recipe.dump().items() if before.dump().get(key) != value]
        if changed:
            raise UserError(f"--resume: the recipe is no longer the one in {args.out}: {', '.join(changed)} changed")
    return directory


def _train(
    trainer: Trainer,
    checkpoints: CheckpointDirectory | None,
    console: Console,
    reports: list[Report],
    stop: list[int],
    quiet: bool,
) -> None:
    table = Table(box=None, padding=(0, 1))
    for name, _, _ in COLUMNS:
        table.add_column(name, justify="right")
    progress = Progress(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total} reports"), TimeRemainingColumn(),
        console=console, transient=True, disable=quiet or not console.is_terminal,
    )  # fmt: skip
    with progress:
        task = progress.add_task("starting", total=trainer.total_reports, completed=trainer.reports_done)
        while not trainer.finished and not stop:
            report = trainer.next_report()
            reports.append(report)
            if checkpoints is not None:
                checkpoints.save(report.step, trainer.state_dict())
            top1, loss = report.metrics["val/top1"], report.metrics["val/loss"]
            progress.update(task, completed=report.step, description=f"val loss {loss:.4f}  Top-1 {top1:.2f} %")
            whole_epoch = report.epoch == int(report.epoch)
            if whole_epoch:
                table.add_row(*(format(report.metrics[key] if key else report.epoch, form) for _, key, form in COLUMNS))
            if whole_epoch and not quiet and not console.is_terminal:
                console.print(f"epoch {report.epoch:.0f}  val loss {loss:.4f}  Top-1 {top1:.2f} %", soft_wrap=True)
    if not quiet:
        console.print(table)


def _stop_on_signals() -> list[int]:
    """Let SIGINT or SIGTERM end training at the next report: the list is no longer empty then. A second one ends it at once."""
    seen: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        if seen:
            raise KeyboardInterrupt
        seen.append(number)
        print("\nstopping at the next report; once more to stop at once", file=sys.stderr)

    signal.signal(signal.SIGINT, handle)
    signal.signal(signal.SIGTERM, handle)
    return seen


def _say_how_to_resume(args: argparse.Namespace, console: Console) -> None:
    if args.out is None:
        console.print("stopped; without --out nothing was kept")
        return
    words = [*python_command(), "-m", "rebnn_search.train", args.recipe, "--out", args.out, "--resume"]
    for override in args.overrides:
        words += ["--set", override]
    console.print(f"stopped; continue with\n  {shlex.join(words)}", soft_wrap=True)


if __name__ == "__main__":
    exit_on_user_error(main)
