"""Trains one seed, from wherever it was interrupted."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict

from rebnn_search.execution.ray.trainable import CHECKPOINT_SHARE
from rebnn_search.execution.ray.workers import dump_trial
from rebnn_search.export import describe, export_packed
from rebnn_search.refit._folder import SeedFolder
from rebnn_search.refit._outcome import SeedScore
from rebnn_search.training import Diverged, Recipe, Report, Trainer
from rebnn_search.training.report_log import ReportLog, TrackedReport

Listener = Callable[[TrackedReport, int, bool], bool]


class Stopped(Exception):  # noqa: N818 - no error: the user wished it, or the time is over
    """Training ended early, with a checkpoint."""


def train_seed(recipe: Recipe, folder: SeedFolder, heard: Listener) -> SeedScore:
    """Train a seed to its end and read the test split, unless that was done before.

    Args:
        recipe: With the seed.
        folder: Of the seed.
        heard: Told of each report after it is on disk, how many there will be, and whether it is new: made for the first time. True
            ends training with a checkpoint.

    Raises:
        Stopped: If ``heard`` said so.
        UserError: If the folder holds another recipe, or the data are gone or unfit.
    """
    folder.begin(recipe)
    known = folder.outcome
    if known is None:
        known = _train(recipe, folder, heard)
        folder.end(known)
    return SeedScore(recipe.seed, **known)


def _train(recipe: Recipe, folder: SeedFolder, heard: Listener) -> dict[str, object]:
    trainer = Trainer(recipe, workspace=folder.path)
    checkpoints, log = folder.checkpoints, ReportLog(folder.reports)
    found = checkpoints.latest()
    if found is not None:
        trainer.load_state_dict(found[1]["trainer"])
    saved, seconds = time.monotonic(), 0.0
    try:
        while not trainer.finished:
            report = trainer.next_report()
            kept = _tracked(report, report.step == trainer.total_reports)
            # On disk before a checkpoint may say that it was made; one that is made again is known by its step.
            new = log.append(kept)
            stop = heard(kept, trainer.total_reports, new)
            now = time.monotonic()
            if stop or trainer.finished or seconds <= CHECKPOINT_SHARE * (now - saved):
                checkpoints.save(report.step, dump_trial(trainer, []))
                saved = time.monotonic()
                seconds = saved - now
            if stop and not trainer.finished:
                raise Stopped
        test = trainer.evaluate("test")
        export_packed(trainer.network, describe(recipe, trainer.data), folder.model)
    except Diverged as error:
        return {"train_loss": None, "test": None, "diverged": error.reason}
    finally:
        trainer.close()
    return {"train_loss": log.reports[-1].metrics["train/loss"], "test": test}


def _tracked(report: Report, final: bool) -> TrackedReport:
    return TrackedReport(report.step, report.epoch, int(time.time() * 1000), final, report.metrics, asdict(report)["latent"])
