"""Looks, plans, searches or trains without a search, refits and exports, within a given time."""

from __future__ import annotations

import json
import math
import shlex
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import yaml

from rebnn_search.auto._direct import train_directly
from rebnn_search.auto._look import look_at
from rebnn_search.auto._plan import Plan, kept_seconds, open_smallest, plan_for
from rebnn_search.auto.result import MODEL_FILE, NAME, RECIPE_FILE, RESULT_FILE, SPACE_FILE, AutoResult
from rebnn_search.base.command import python_command
from rebnn_search.base.files import read_whole, write_atomically, write_whole
from rebnn_search.base.secrets import hide_secrets
from rebnn_search.config import UserError
from rebnn_search.execution.budget import Budget
from rebnn_search.export import export_packed, find_trained
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.study.estimate import Estimate
from rebnn_search.training import Recipe
from rebnn_search.training.data import Data
from rebnn_search.training.data.base import SPLITS

if TYPE_CHECKING:
    from rebnn_search.execution.events import SearchObserver
    from rebnn_search.study.search import Search

REPORT_SECONDS = 15.0
"""Kept for drawing the report, of a time of `LONG_SECONDS` or more."""
LONG_SECONDS = 120.0


def run_auto(
    path: Path,
    out: Path,
    *,
    label: str | None,
    skip_damaged: bool,
    seconds: float,
    seeds: int,
    tracking_uri: str,
    begun: float,
    say: Callable[[str], None],
    observe: Callable[[Search, Budget], AbstractContextManager[SearchObserver]],
    on_start: Callable[[Callable[[], None]], None],
) -> AutoResult:
    """Train a model on data within a time.

    Args:
        path: The data.
        out: Folder for all that is made; must not hold anything.
        label: Of a table, the column of labels.
        skip_damaged: Leave pictures out that cannot be decoded, and say which.
        seconds: For everything since ``begun``.
        seeds: Last trainings, if there is time for so many.
        tracking_uri: As `rebnn_search.tracking.check_uri` returned it.
        begun: When the time began, by `time.monotonic`.
        say: Called with each line.
        observe: Makes of the search and its time a context manager that is its observer.
        on_start: As of `rebnn_search.execution.session.Session.run`.

    Raises:
        UserError: If the data are unfit, ``out`` holds something, or the time is too short, saying which would do.
        Interrupted: If the user stopped the search.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"--out {out}: already holds something: choose another folder")
    look = look_at(path, label, skip_damaged)
    opened = open_smallest(look)
    majority = majority_guess(opened.data)
    for line in [*look.notes, describe_classes(opened.data)]:
        say(f"data: {line}")
    plan = plan_for(look, opened, seconds, seeds, begun)
    for line in plan.reasons:
        say(line)
    write_files(out, path, plan)
    say(f"written: {out / RECIPE_FILE}, {out / SPACE_FILE}")
    model = out / MODEL_FILE
    report = REPORT_SECONDS if plan.searched and seconds >= LONG_SECONDS else 0.0
    deadline = begun + seconds - kept_seconds(seconds) - report
    trials, score = 0, None
    if plan.searched:
        trials, score = _searched(out, plan, seeds, deadline, tracking_uri, say, observe, on_start)
        if score is None:
            say("the time to search was over before any trial was trained to its end: the recipe's own values are trained")
    if score is None:
        left = (deadline - time.monotonic()) / plan.refit_seconds if plan.searched else 1.0
        epochs = max(1, min(plan.epochs, math.floor(left * plan.epochs)))
        score = train_directly(plan, epochs, seeds, deadline, model, say)
    elif begun + seconds - time.monotonic() > REPORT_SECONDS:
        from rebnn_search.base.log_redirect import redirect_output
        from rebnn_search.report import report_search

        folder = SearchFolder(out / "results" / NAME)
        with redirect_output(folder.log):
            page = str(report_search(tracking_uri, folder))
        say(f"report: {page}")
    else:
        words = ["-m", "rebnn_search.report", NAME, "--tracking-uri", hide_secrets(tracking_uri), "--out", str(out / "report")]
        say(f"no time was left to draw the report: {shlex.join([*python_command(), *words])}")
    result = AutoResult(
        str(out), str(model), look.example, score.mean, score.half_width, score.n, majority, trials, time.monotonic() - begun
    )
    write_atomically(out / RESULT_FILE, json.dumps(vars(result), indent=1))
    return result


def _searched(
    out: Path,
    plan: Plan,
    seeds: int,
    deadline: float,
    tracking_uri: str,
    say: Callable[[str], None],
    observe: Callable[[Search, Budget], AbstractContextManager[SearchObserver]],
    on_start: Callable[[Callable[[], None]], None],
) -> tuple[int, Estimate | None]:
    """Search, refit and write the model. Returns the number of trials and the test accuracy, of no seeds where it is the search's
    chosen trial's; None if no trial came to its end.
    """
    from rebnn_search.auto._searched import refit_within, search_within  # imports Ray and MLflow, which takes seconds

    folder = SearchFolder(out / "results" / NAME)
    folder.path.parent.mkdir(parents=True, exist_ok=True)
    budget = Budget(max(1.0, deadline - plan.seeds * plan.refit_seconds - 5.0 - time.monotonic()))
    trials = search_within(out, SPACE_FILE, folder, budget, tracking_uri, observe, on_start)
    if trials is None:
        return 0, None
    outcome = refit_within(out, plan, seeds, deadline, tracking_uri, say)
    if outcome is not None and outcome.model is not None:
        write_whole(out / MODEL_FILE, read_whole(Path(outcome.model)))
        return trials, outcome.test("top1")
    why = "no time was left for a last training" if outcome is None else "every last training diverged"
    say(f"{why}: the model is the search's chosen trial")
    trained = find_trained(str(folder.path))
    export_packed(trained.network, trained.info, out / MODEL_FILE)
    chosen = json.loads(folder.result_file.read_text(encoding="utf-8"))["best"]
    return trials, Estimate(chosen["test_top1"], None, 0)


def majority_guess(data: Data) -> float:
    """Percent of the test split that are of the training split's largest class."""
    largest = torch.bincount(data.labels("train"), minlength=data.num_classes).argmax()
    return 100 * float((data.labels("test") == largest).double().mean())


def describe_classes(data: Data) -> str:
    """Numbers and balance, in words."""
    counts = torch.bincount(data.labels("train"), minlength=data.num_classes)
    train, validation, test = (len(data.labels(split)) for split in SPLITS)
    sizes = f"{train:,} to train on, {validation:,} to validate on, {test:,} to test"
    most, least = int(counts.argmax()), int(counts.argmin())
    share = [f"{data.classes[k]!r} {100 * int(counts[k]) / int(counts.sum()):.1f} %" for k in (most, least)]
    uneven = ": uneven" if int(counts[most]) > 3 * int(counts[least]) else ""
    return f"{data.num_classes} classes, {sizes}; largest {share[0]}, smallest {share[1]}{uneven}"


def write_files(out: Path, source: Path, plan: Plan) -> None:
    """Write recipe and search."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--out {out}: cannot be written: {error.strerror}") from None
    Recipe.model_validate(plan.recipe)
    for name, content, comment in (
        (
            RECIPE_FILE,
            plan.recipe,
            f"Made by rebnn_search.auto for {source}. Edit it, and train it with: python -m rebnn_search.train",
        ),
        (SPACE_FILE, plan.search(RECIPE_FILE), "Search it with: python -m rebnn_search.run THIS_FILE --time-budget 30m"),
    ):
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
        write_atomically(out / name, f"# {comment}\n{text}")
