"""Trains one seed, from wherever it was interrupted."""

from __future__ import annotations

import math
from collections.abc import Callable

from rebnn_search.base.metrics import TRAIN_LOSS
from rebnn_search.config import UserError
from rebnn_search.export import describe, export_packed
from rebnn_search.refit._folder import SeedFolder
from rebnn_search.refit._result import SeedScore
from rebnn_search.training import Diverged, Recipe, ReportLog, Stopped, TrackedReport, Trainer, TrainingRun

Listener = Callable[[TrackedReport, int, bool], bool]


def train_seed(recipe: Recipe, folder: SeedFolder, on_report: Listener) -> SeedScore:
    """Train a seed to its end and read the test split, unless that was done before.

    Args:
        recipe: With the seed.
        folder: Of the seed.
        on_report: Called with each report after it is on disk, how many there will be, and whether it is new: made for the first
            time. True ends training with a checkpoint.

    Raises:
        Stopped: If ``on_report`` said so.
        UserError: If the folder holds another recipe, or the data are gone or unfit.
    """
    folder.begin(recipe)
    known = folder.outcome
    if known is None:
        known = _train(recipe, folder, on_report)
        folder.end(known)
    return SeedScore(recipe.seed, **known)


def _train(recipe: Recipe, folder: SeedFolder, on_report: Listener) -> dict[str, object]:
    trainer = Trainer(recipe, workspace=folder.training.path)
    log = ReportLog(folder.training.report_file)
    run = TrainingRun(trainer, checkpoints=folder.checkpoints, log=log)
    try:
        while not run.finished:
            known = log.last_step
            report = run.next_report()
            stop = on_report(log.at(report.step), trainer.total_reports, report.step > known)
            if stop and not run.finished:
                run.save()
                raise Stopped
        test = trainer.evaluate("test")
        if not math.isfinite(test["loss"]):
            raise UserError(
                f"seed {recipe.seed}: the loss on the test split is no finite number: a value there is too far from those that the "
                "network was trained on"
            )
        export_packed(trainer.network, describe(recipe, trainer.data), folder.model)
    except Diverged as error:
        return {"train_loss": None, "test": None, "diverged": error.reason}
    finally:
        run.close()
    return {"train_loss": log.reports[-1].metrics[TRAIN_LOSS], "test": test}
