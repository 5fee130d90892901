"""Looks, plans, searches or trains without a search, refits and exports, within a given time."""

from __future__ import annotations

import json
import math
import shlex
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from torch import Tensor

from rebnn_search.auto._alternatives import majority_scores
from rebnn_search.auto._balance import UNEVEN, balance_for, uneven
from rebnn_search.auto._calibrate import TemperatureFit, calibrate, validation_logits
from rebnn_search.auto._candidate import Made
from rebnn_search.auto._deadlines import REPORT_SECONDS, deadlines
from rebnn_search.auto._direct import train_directly
from rebnn_search.auto._distil import Terms, distil, distilled_lines
from rebnn_search.auto._look import look_at
from rebnn_search.auto._look_back import look_back
from rebnn_search.auto._networks import open_smallest
from rebnn_search.auto._plan import Plan, plan_for
from rebnn_search.auto._repeated import repeated_lines
from rebnn_search.auto.presets import ASKED, DEFAULT, PRESETS
from rebnn_search.auto.result import MODEL_FILE, NAME, RECIPE_FILE, RESULT_FILE, SPACE_FILE, TEACHERS, AutoResult
from rebnn_search.auto.source import Source
from rebnn_search.base.command import python_command
from rebnn_search.base.files import write_atomically
from rebnn_search.base.secrets import hide_secrets
from rebnn_search.config import UserError
from rebnn_search.execution.budget import Budget
from rebnn_search.export import export_packed
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.study.estimate import Estimate
from rebnn_search.training import Recipe
from rebnn_search.training.data import Data
from rebnn_search.training.data.facts import describe_classes

if TYPE_CHECKING:
    from rebnn_search.execution.events import SearchObserver
    from rebnn_search.study.search import Search


def run_auto(
    source: Source,
    out: Path,
    *,
    seconds: float,
    seeds: int | None,
    tracking_uri: str,
    begun: float,
    say: Callable[[str], None],
    observe: Callable[[Search, Budget], AbstractContextManager[SearchObserver]],
    on_start: Callable[[Callable[[], None]], None],
    preset: str = DEFAULT,
    balance: str = ASKED[0],
) -> AutoResult:
    """Train a model on data within a time.

    Args:
        source: The data.
        out: Folder for all that is made; must not hold anything.
        seconds: For everything since ``begun``.
        seeds: Last trainings, if there is time for so many; None is what the preset says.
        tracking_uri: As `rebnn_search.tracking.check_uri` returned it.
        begun: When the time began, by `time.monotonic`.
        say: Called with each line.
        observe: Makes of the search and its time a context manager that is its observer.
        on_start: As of `rebnn_search.execution.session.Session.run`.
        preset: One of `rebnn_search.auto.presets.PRESETS`.
        balance: Whether classes count alike: ``auto``, where they are uneven; ``yes`` or ``no``.

    Raises:
        UserError: If the data are unfit, ``out`` holds something, or the time is too short, saying which would do.
        Interrupted: If the user stopped the search.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"--out {out}: already holds something: choose another folder")
    look = look_at(source)
    opened = open_smallest(look)
    majority = majority_scores(opened.data).top1
    for line in [*look.notes, describe_balance(opened.data), *repeated_lines(opened.data, look.images)]:
        say(f"data: {line}")
    how = PRESETS[preset]
    seeds = how.seeds if seeds is None else seeds
    balanced = balance_for(opened.data, balance)
    say(f"data: {balanced.reason}")
    plan = plan_for(look, opened, seconds, seeds, begun, how, balanced.balanced)
    for line in plan.reasons:
        say(line)
    write_files(out, source.path, plan)
    say(f"written: {out / RECIPE_FILE}, {out / SPACE_FILE}")
    weights = balanced.weights(plan.data)
    until = deadlines(plan, how, begun, seconds)
    made = distilled = None
    if plan.searched:
        from rebnn_search.auto._searched import search_and_refit  # imports Ray and MLflow, which takes seconds

        made = search_and_refit(out, plan, seeds, how.finalists, until.search, tracking_uri, say, observe, on_start)
        if made is None:
            say("the time to search was over before any trial was trained to its end: the recipe's own values are trained")
    searched = made is not None
    if made is None:
        left = (until.model - time.monotonic()) / plan.refit_seconds if plan.searched else 1.0
        epochs = max(1, min(plan.epochs, math.floor(left * plan.epochs)))
        made = train_directly(plan, epochs, seeds, until.model, say)
    model = _calibrated_model(made, plan, weights, out)  # what comes now may be cut short
    if how.teachers:
        terms = Terms(plan.data, weights, how.teachers, plan.refit_seconds, out / TEACHERS, until.model)
        made, distilled = distil(made, terms, say)
        model = _calibrated_model(made, plan, weights, out)
    made, calibration, logits = model
    found = look_back(made, plan, how, look.images, logits, weights, until.look_back, say)
    score = made.score or Estimate(found.leaderboard[0].test_top1, None, 0)
    if distilled is not None:
        for line in distilled_lines(distilled, found.leaderboard[0].test_top1, found.leaderboard[0].bytes):
            say(line)
    say(calibration.text())
    result = AutoResult(
        out=str(out), model=str(out / MODEL_FILE), example=look.example, test_top1=score.mean, half_width=score.half_width,
        seeds=score.n, majority=majority, trials=made.trials, seconds=time.monotonic() - begun, preset=preset,
        network=made.shipped.name, trained_on=made.shipped.trained_on, test_balanced=found.leaderboard[0].test_balanced,
        balance=balanced, calibration=calibration, distilled=distilled, **vars(found),
    )  # fmt: skip
    write_atomically(out / RESULT_FILE, json.dumps(asdict(result), indent=1))
    if searched:
        _report(out, tracking_uri, until.report - time.monotonic() > REPORT_SECONDS, say)
        result = replace(result, seconds=time.monotonic() - begun)
        write_atomically(out / RESULT_FILE, json.dumps(asdict(result), indent=1))
    return result


def _calibrated_model(made: Made, plan: Plan, weights: Tensor | None, out: Path) -> tuple[Made, TemperatureFit, Tensor | None]:
    """Write the model with calibrated probabilities. Returns it, how it was calibrated, and its logits of the validation split."""
    logits, labels = validation_logits(made.judged, plan.data), plan.data.labels("validation")
    calibration = calibrate(made, logits, labels, None if weights is None else weights[labels])
    calibrated = made.calibrated(calibration.temperature)
    export_packed(calibrated.shipped.network, calibrated.shipped.info, out / MODEL_FILE)
    return calibrated, calibration, logits


def _report(out: Path, tracking_uri: str, in_time: bool, say: Callable[[str], None]) -> None:
    """Draw the search's report, or say how to."""
    if not in_time:
        words = [
            "-m",
            "rebnn_search.report",
            NAME,
            "--storage",
            str(out / "results"),
            "--tracking-uri",
            hide_secrets(tracking_uri),
            "--out",
            str(out / "report"),
        ]
        say(f"no time was left to draw the report: {shlex.join([*python_command(), *words])}")
        return
    from rebnn_search.base.log_redirect import redirect_output
    from rebnn_search.report import report_search

    folder = SearchFolder(out / "results" / NAME)
    try:
        with redirect_output(folder.log):
            page = str(report_search(tracking_uri, folder))
    except Exception as error:  # a picture is worth no model
        say(f"no report: {hide_secrets(str(error))}")
    else:
        say(f"report: {page}")


def describe_balance(data: Data) -> str:
    """Numbers and balance of the classes, in words."""
    return describe_classes(data) + (": uneven" if uneven(data) > UNEVEN else "")


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
