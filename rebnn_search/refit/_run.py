"""A refit from beginning to end: seeds one after another in this process, which need no Ray."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from math import nan
from typing import Protocol

import torch

from rebnn_search.base.files import read_whole, write_atomically, write_whole
from rebnn_search.base.layout import MODEL_FILE
from rebnn_search.base.metrics import REFITTED_TRIAL, TRAIN_LOSS, refit, test
from rebnn_search.execution.session import FLUSH_SECONDS
from rebnn_search.refit._folder import SeedFolder, recipe_key
from rebnn_search.refit._registry import register
from rebnn_search.refit._result import RefitResult, SeedScore
from rebnn_search.refit._seed import train_seed
from rebnn_search.storage.lock import DriverLock
from rebnn_search.storage.remote_sync import RemoteSync
from rebnn_search.study.finished import FinishedSearch
from rebnn_search.study.names import run_name
from rebnn_search.tracking import LAST_TAG, Point, RefitRuns, Runs, Tracker, catch_up, last_report
from rebnn_search.training import Recipe, Stopped
from rebnn_search.training.report_log import TrackedReport, read_reports

MODEL_FOLDER = "model"
"""Of a run's artifacts, where ``python -m rebnn_search.export RUN`` looks."""


class RefitObserver(Protocol):
    """Someone who watches a refit, and may end it."""

    def started(self, seed: int) -> None:
        """Report that a seed is taken up."""

    def reported(self, seed: int, report: TrackedReport, reports: int) -> bool:
        """Report progress of a seed that will make so many. True ends the refit there, with a checkpoint."""

    def finished(self, score: SeedScore) -> None:
        """Report how a seed ended, now or in an earlier run."""


def refit_search(
    search: FinishedSearch,
    *,
    seeds: int,
    tracking_uri: str,
    observer: RefitObserver,
    epochs: int | None = None,
    registered: str | None = None,
) -> RefitResult:
    """Train a search's best recipe on training and validation split, go on with what an earlier call left, and sum it up.

    Args:
        search: The search.
        seeds: How many: the recipe's seed and those that follow it.
        tracking_uri: As `rebnn_search.tracking.check_uri` returned it.
        observer: Notified of every event.
        epochs: Instead of the recipe's.
        registered: Name of the model in MLflow's registry that the median seed's becomes a version of.

    Raises:
        Stopped: If the observer ended it.
        UserError: If another process drives the search, tracking or registry cannot be used, or what was trained before was
            of another recipe.
    """
    update = {"train_on": "train+validation", "epochs": epochs or search.recipe.epochs}
    base = search.recipe.model_copy(update=update)
    if epochs is not None:
        base.check()  # what makes sense in a longer training need not in this one
    recipes = [base.model_copy(update={"seed": base.seed + index}) for index in range(seeds)]
    folder = search.folder
    sync = nullcontext() if folder.remote is None else RemoteSync(folder, FLUSH_SECONDS)
    threads = torch.get_num_threads()
    with DriverLock(folder), sync:
        patience = FLUSH_SECONDS
        tracker = Tracker(lambda: RefitRuns(tracking_uri, search.parent_run_id, recipe_key(base)))
        try:
            torch.set_num_threads(search.threads)
            for recipe in recipes:
                SeedFolder(search, recipe.seed).begin(recipe)
            runs = tracker.connected(tracking_uri)
            scores = [_one(search, recipe, tracker, observer) for recipe in recipes]
            outcome = _concluded(search, RefitResult(folder.name, search.number, base.epochs, scores))
            tracker.finish(lambda runs: _sum_up(runs, search, outcome))
        except KeyboardInterrupt:  # once more, to stop at once
            patience = 0.0
            raise
        finally:
            torch.set_num_threads(threads)
            tracked = tracker.close(patience)
        if not tracked:
            outcome = replace(outcome, untracked=tracker.trouble or "it is slow")
        elif registered is not None and outcome.median is not None:
            version = register(runs, outcome.median.seed, registered, SeedFolder(search, outcome.median.seed).model)
            outcome = replace(outcome, version=version)
        return outcome


def _one(search: FinishedSearch, recipe: Recipe, tracker: Tracker, observer: RefitObserver) -> SeedScore:
    folder, seed = SeedFolder(search, recipe.seed), recipe.seed
    params = {**search.params, "epochs": recipe.epochs, "seed": seed}
    name = f"refit {run_name(search.number, search.params, seed)}"
    observer.started(seed)
    tracker.begin(seed, lambda runs: _bring_up(runs, seed, name, params, folder))

    def on_report(report: TrackedReport, reports: int, new: bool) -> bool:
        if new:
            tracker.log(seed, _point(report))
        return observer.reported(seed, report, reports)

    try:
        score = train_seed(recipe, folder, on_report)
    except Stopped:
        tracker.end(seed, lambda runs: runs.end(runs.children[seed], "INTERRUPTED", {}, {}))
        raise
    tracker.end(seed, lambda runs: _end(runs, score, folder))
    observer.finished(score)
    return score


def _bring_up(runs: Runs, seed: int, name: str, params: Mapping[str, object], folder: SeedFolder) -> None:
    """Make the seed's run, or find it and send what it lacks; one that was ended stays as it is."""
    reports = read_reports(folder.training.report_file)
    if any(runs.is_ended(seed, state, last_report(reports)) for state in ("COMPLETE", "FAIL")):
        return
    catch_up(runs, seed, name, params, [_point(report) for report in reports], TRAIN_LOSS)


def _point(report: TrackedReport) -> Point:
    return Point(report.step, report.timestamp, report.metrics)


def _end(runs: Runs, score: SeedScore, folder: SeedFolder) -> None:
    state, last = "FAIL" if score.test is None else "COMPLETE", last_report(read_reports(folder.training.report_file))
    if runs.is_ended(score.seed, state, last):
        return
    run_id = runs.children[score.seed]
    if score.test is None:
        runs.end(run_id, state, {LAST_TAG: last, "reason": str(score.diverged)}, {})
        return
    runs.client.log_artifact(run_id, str(folder.model), MODEL_FOLDER)
    runs.end(run_id, state, {LAST_TAG: last}, {test(name): value for name, value in score.test.items()})


def _sum_up(runs: Runs, search: FinishedSearch, outcome: RefitResult) -> None:
    assert isinstance(runs, RefitRuns)
    of = f"trial_{search.number}/" if search.picked else ""
    top1, top5 = outcome.test("top1"), outcome.test("top5")
    if top1 is not None and top5 is not None:
        half = nan if top1.half_width is None else top1.half_width
        metrics = {"test_top1": top1.mean, "test_top5": top5.mean, "test_top1_interval": half}
        own = {} if search.picked else {REFITTED_TRIAL: float(search.number)}
        runs.sum_up({refit(f"{of}{name}"): value for name, value in metrics.items()} | own)


def _concluded(search: FinishedSearch, outcome: RefitResult) -> RefitResult:
    """Write ``refit.json`` and, unless all seeds diverged, the median seed's model."""
    folder = search.refit_path
    if outcome.median is not None:
        model = folder / MODEL_FILE
        write_whole(model, read_whole(SeedFolder(search, outcome.median.seed).model))
        trained = [score.seed for score in outcome.seeds if score.test is not None]
        models = {seed: str(SeedFolder(search, seed).model) for seed in trained}
        outcome = replace(outcome, model=str(model), models=models)
    write_atomically(folder / "refit.json", json.dumps(outcome.dump(), indent=1))
    return outcome
