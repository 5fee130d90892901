"""``python -m rebnn_search.train RECIPE.yaml``: train one trial, without Ray and without a search."""

from __future__ import annotations

import argparse
import json
import math
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from rebnn_search.base.command import python_command
from rebnn_search.base.errors import UserError
from rebnn_search.base.packaged import RECIPES, find_file
from rebnn_search.base.signals import signals_given_back, stop_on_signals
from rebnn_search.cli._allow import add_allow, allow_parts

if TYPE_CHECKING:
    from rebnn_search.training import Recipe, TrainingFolder


LOCK = ".lock"
"""In a training's folder: held by the process that trains there."""


def parser(prog: str = "python -m rebnn_search.train") -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(prog=prog, description="Train one recipe.")
    p.add_argument("recipe", metavar="RECIPE.yaml", help="the recipe file, or the name of one that comes with the program")
    p.add_argument("--set", metavar="KEY=VALUE", action="append", default=[], dest="overrides",
                   help="change a value of the recipe (optimizer.lr=1e-3); may be repeated")  # fmt: skip
    add_allow(p)
    p.add_argument("--out", metavar="DIR", help="keep checkpoints, reports and the resolved recipe here")
    p.add_argument("--workspace", metavar="DIR", help="where trainings with the same first stage share it (default: --out)")
    p.add_argument("--resume", action="store_true", help="go on from the newest checkpoint in --out")
    p.add_argument("--device", help="as torch names it (default: the first GPU, else the CPU)")
    p.add_argument("--test", action="store_true", help="read the test split at the end, once")
    p.add_argument("--json", action="store_true", help="print one JSON object instead of progress and table")
    return p


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Run the command. Returns 0, 1 if training diverged, 130 if it was interrupted."""
    args = (parser(prog) if prog else parser()).parse_args(argv)
    # What is above needs milliseconds, torch seconds.
    from rebnn_search.training import TrainingFolder, load_recipe

    allow_parts(args.allow)
    recipe = load_recipe(find_file(args.recipe, RECIPES), args.overrides, new=not args.resume)
    if args.out is not None and not args.out.strip():
        raise UserError("--out: names nothing: expected a directory")
    folder = None if args.out is None else TrainingFolder(Path(args.out))
    if args.workspace is not None and not args.workspace.strip():
        raise UserError("--workspace: names nothing: expected a directory")
    if folder is None and args.resume:
        raise UserError("--resume needs --out, the directory that holds the checkpoints")
    if folder is not None:
        _check(folder, recipe, args.resume)
    with nullcontext() if folder is None else _alone(folder):
        return _train(args, recipe, folder)


def _train(args: argparse.Namespace, recipe: Recipe, folder: TrainingFolder | None) -> int:
    from rebnn_search.cli._training import Training, epochs_table
    from rebnn_search.training import Diverged, Stopped

    if folder is not None:
        _check(folder, recipe, args.resume)
    console = Console(stderr=args.json, highlight=False)
    run = Training(args, recipe, folder, console)
    if folder is not None:
        try:
            folder.write_recipe(recipe, f"Resolved from {args.recipe}")
        except OSError as error:
            raise UserError(f"--out {folder.path}: cannot be written: {error.strerror}") from None
    diverged = None
    try:
        with signals_given_back():
            stop_on_signals(run.stop)
            run.train()
    except (Stopped, KeyboardInterrupt):
        _say_how_to_resume(args, console)
        return 130
    except Diverged as error:
        diverged = error.reason
        print(f"diverged: {diverged}", file=sys.stderr)
    test = run.trainer.evaluate("test") if args.test and diverged is None else None
    if args.json:
        last = run.reports[-1].metrics if run.reports else {}
        result = {"recipe": recipe.dump(), "reports": run.trainer.reports_done, "metrics": _finite(last),
                  "test": None if test is None else _finite(test),
                  "diverged": diverged}  # fmt: skip
        print(json.dumps(result, allow_nan=False))
    else:
        console.print(epochs_table(run.reports))
        if test is not None:
            console.print(f"test: loss {test['loss']:.4f}, Top-1 {test['top1']:.2f} %, Top-5 {test['top5']:.2f} %")
    return 0 if diverged is None else 1


@contextmanager
def _alone(folder: TrainingFolder) -> Iterator[None]:
    """Keep a second process from training in the same folder; its lock dies with its process.

    Raises:
        UserError: If one does, or the folder cannot be written.
    """
    from filelock import FileLock, Timeout

    try:
        folder.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder.path / LOCK, timeout=0)
        lock.acquire()
    except Timeout:
        raise UserError(f"--out {folder.path}: another process is training there: wait for it, or stop it first") from None
    except OSError as error:
        raise UserError(f"--out {folder.path}: cannot be written: {error.strerror}") from None
    try:
        yield
    finally:
        lock.release()
        with suppress(OSError):  # somebody removed it meanwhile
            if [file.name for file in folder.path.iterdir()] == [LOCK]:  # of a mistake, found before anything was kept
                (folder.path / LOCK).unlink()
                folder.path.rmdir()


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
    if args.workspace is not None:
        words += ["--workspace", args.workspace]
    for part in args.allow:
        words += ["--allow", part]
    for option in ("device", "test", "json"):
        value = getattr(args, option)
        words += [f"--{option}", *([value] if isinstance(value, str) else [])] if value else []
    console.print(f"stopped; continue with\n  {shlex.join(words)}", soft_wrap=True, markup=False)
