"""Looks, plans, searches, refits and exports, within a given time."""

from __future__ import annotations

import json
import shlex
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from rebnn_search.auto._look import look_at
from rebnn_search.auto._plan import Plan, open_smallest, plan_for
from rebnn_search.base.command import python_command
from rebnn_search.base.files import write_atomically
from rebnn_search.base.log_redirect import chatter_to
from rebnn_search.base.secrets import hide_secrets
from rebnn_search.config import UserError
from rebnn_search.execution.budget import Budget
from rebnn_search.execution.controller import Observer
from rebnn_search.execution.session import run_search
from rebnn_search.export import export_packed, find_trained
from rebnn_search.export._files import read_whole, write_whole
from rebnn_search.refit import Outcome, SeedScore, Stopped, finished_search, refit_search
from rebnn_search.refit._progress import ended
from rebnn_search.report import report_search
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.study.spec import Search, load_search
from rebnn_search.training import Recipe
from rebnn_search.training.data import Data
from rebnn_search.training.data._base import SPLITS
from rebnn_search.training.report_log import TrackedReport, read_reports

SPACE_FILE, RECIPE_FILE, MODEL_FILE, RESULT_FILE = "auto.yaml", "recipe.yaml", "model.safetensors", "auto.json"
NAME = "auto-1"
"""Of the search in ``OUT/results``."""
LAST_SECONDS, LAST_SHARE = 3.0, 0.02
"""Kept for writing the model and for the process's start and end, and a share of the time in which it may be held up."""
REPORT_SECONDS = 15.0
"""Kept for drawing the report, of a time of `LONG_SECONDS` or more."""
LONG_SECONDS = 120.0
SUM_UP_SECONDS = 2.0
"""Kept for summing up a refit that was ended."""


@dataclass(frozen=True)
class AutoResult:
    """What came of it.

    Attributes:
        out: The folder.
        model: The packed model.
        example: A file that it can classify.
        test_top1: Percent on the test split: the mean over the seeds, or of the search's chosen trial.
        half_width: Half of the mean's 95 % interval, if there is one.
        seeds: Last trainings on training and validation split; none if there was no time for one.
        majority: Percent of the test split that are of the training split's largest class.
        trials: Of the search.
        seconds: In all.
    """

    out: str
    model: str
    example: str
    test_top1: float
    half_width: float | None
    seeds: int
    majority: float
    trials: int
    seconds: float


class Interrupted(Exception):  # noqa: N818 - no error: the user wished it
    """The search was stopped by the user and can be gone on with by hand."""


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
    observe: Callable[[Search, Budget], Any],
    on_start: Callable[[Callable[[], None]], None],
) -> AutoResult:
    """Train a model on data within a time.

    Args:
        path: The data.
        out: Folder for all that is made; must not hold anything.
        label: Of a CSV file, the column of labels.
        skip_damaged: Leave pictures out that cannot be decoded, and say which.
        seconds: For everything since ``begun``.
        seeds: Last trainings, if there is time for so many.
        tracking_uri: As `rebnn_search.tracking.check_uri` returned it.
        begun: When the time began, by `time.monotonic`.
        say: Told a line at a time.
        observe: Makes of the search and its time a context manager that is its observer.
        on_start: As of `rebnn_search.execution.session.run_search`.

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
    deadline = begun + (1 - LAST_SHARE) * seconds - LAST_SECONDS - (REPORT_SECONDS if seconds >= LONG_SECONDS else 0.0)
    folder = SearchFolder(out / "results" / NAME)
    folder.path.parent.mkdir(parents=True, exist_ok=True)
    reserved = plan.seeds * plan.refit_seconds + 5.0
    budget = Budget(max(1.0, deadline - reserved - time.monotonic()))
    trials = _search(out, folder, plan, budget, seconds, tracking_uri, observe, on_start)
    outcome = _refit(out, plan, seeds, deadline, tracking_uri, say)
    model = out / MODEL_FILE
    if outcome is not None and outcome.model is not None:
        write_whole(model, read_whole(Path(outcome.model)))
        top1 = outcome.test("top1")
        assert top1 is not None
        score, half_width, done = top1.mean, top1.half_width, top1.n
    else:
        why = "no time was left for a last training" if outcome is None else "every last training diverged"
        say(f"{why}: the model is the search's chosen trial")
        trained = find_trained(str(folder.path))
        export_packed(trained.network, trained.info, model)
        chosen = json.loads(folder.result_file.read_text(encoding="utf-8"))["best"]
        score, half_width, done = chosen["test_top1"], None, 0
    if begun + seconds - time.monotonic() > REPORT_SECONDS:
        with chatter_to(folder.log):
            page = str(report_search(tracking_uri, folder))
        say(f"report: {page}")
    else:
        words = ["-m", "rebnn_search.report", NAME, "--tracking-uri", hide_secrets(tracking_uri), "--out", str(out / "report")]
        say(f"no time was left to draw the report: {shlex.join([*python_command(), *words])}")
    result = AutoResult(str(out), str(model), look.example, score, half_width, done, majority, trials, time.monotonic() - begun)
    write_atomically(out / RESULT_FILE, json.dumps(vars(result), indent=1))
    return result


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


def _search(
    out: Path,
    folder: SearchFolder,
    plan: Plan,
    budget: Budget,
    seconds: float,
    tracking_uri: str,
    observe: Callable[[Search, Budget], Any],
    on_start: Callable[[Callable[[], None]], None],
) -> int:
    """Search within the budget. Returns the number of trials."""
    search = load_search(out / SPACE_FILE)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with observe(search, budget) as observer:
            watched: Observer = observer
            result = run_search(
                search, folder, source=SPACE_FILE, tracking_uri=tracking_uri, observer=watched, budget=budget, on_start=on_start
            )
    except UserError as error:
        smallest = budget.smallest(plan.epochs)
        if not budget.over or smallest is None:
            raise
        needed = seconds + smallest - budget.seconds
        raise UserError(
            f"--time {seconds:.0f}s: was over before any trial was trained to its end: --time {10 * -(-needed // 10):.0f}s would do"
        ) from error
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)  # those of the search would only stop the search
    if result.interrupted:
        raise Interrupted
    if result.best is None:
        raise UserError(
            f"{folder.path}: no trial was trained to its end: {result.rows[0].reason if result.rows else 'none began'}"
        )
    return len(result.rows)


class _Watch:
    """Ends a refit when the time is over, or a further seed would not be done by then."""

    def __init__(self, deadline: float, say: Callable[[str], None]) -> None:
        self._deadline, self._say = deadline, say
        self._began = self._longest = 0.0
        self.done: list[SeedScore] = []

    def started(self, seed: int) -> None:
        """Take the time."""
        self._began = time.monotonic()

    def reported(self, seed: int, report: TrackedReport, reports: int) -> bool:
        """End it in time, unless it is all but done."""
        return not report.final and max(time.monotonic(), self._began + self._longest) > self._deadline

    def finished(self, score: SeedScore) -> None:
        """Keep it, and say so."""
        if score not in self.done:
            self._longest = max(self._longest, time.monotonic() - self._began)
            self.done.append(score)
            self._say(f"trained on training and validation split, seed {score.seed}: {ended(score)}")


def _refit(out: Path, plan: Plan, seeds: int, deadline: float, tracking_uri: str, say: Callable[[str], None]) -> Outcome | None:
    """Train for as many seeds as there is time for; None if there is none for one."""
    found = finished_search(str(out / "results"), NAME)
    deadline -= SUM_UP_SECONDS
    if time.monotonic() + max(plan.refit_seconds, _measured(out, found.number, plan)) > deadline:
        return None
    watch = _Watch(deadline, say)

    def call(count: int) -> Outcome:
        return refit_search(found, seeds=count, tracking_uri=tracking_uri, observer=watch)

    try:
        return call(seeds)
    except Stopped:
        return call(len(watch.done)) if watch.done else None


def _measured(out: Path, number: int, plan: Plan) -> float:
    """Seconds of a last training, from the reports of the chosen trial, which shared the machine with others."""
    reports = read_reports(SearchFolder(out / "results" / NAME).trial(number) / "reports.jsonl")
    if len(reports) < 2:
        return 0.0
    each = (reports[-1].timestamp - reports[0].timestamp) / 1000 / (reports[-1].epoch - reports[0].epoch)
    joined = plan.refit_seconds / max(plan.trial_seconds, 1e-9)
    return each * plan.epochs * joined / 1.2
