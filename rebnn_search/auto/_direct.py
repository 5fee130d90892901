"""Trains without a search: where the time has no room for one, in this process, which needs neither Ray nor MLflow."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from rebnn_search.auto._plan import Plan
from rebnn_search.base.metrics import TRAIN_LOSS
from rebnn_search.config import UserError
from rebnn_search.export import ModelInfo, describe, export_packed
from rebnn_search.study.estimate import Estimate, estimate
from rebnn_search.training import Diverged, Recipe, Trainer, TrainingRun

SLOWER = 1.1
"""How much longer a further seed may take than the one before."""


@dataclass(frozen=True)
class TrainedSeed:
    """One seed's network.

    Attributes:
        trainer: That trained it.
        info: What it was trained as and on.
        loss: On what it was trained on, at the last.
        top1: Percent on the test split.
    """

    trainer: Trainer
    info: ModelInfo
    loss: float
    top1: float


def train_directly(plan: Plan, epochs: int, seeds: int, deadline: float, model: Path, say: Callable[[str], None]) -> Estimate:
    """Train the recipe's own values on training and validation split and write the model of the seed of median training loss.

    Args:
        plan: The recipe.
        epochs: Of each training.
        seeds: At most; the first is trained, each further one if it would be done in time.
        deadline: By `time.monotonic`; a training that comes there ends with the epoch it is in.
        model: File of the packed model.
        say: Called with each line.

    Returns:
        Mean Top-1 (percent) on the test split, with its interval.

    Raises:
        UserError: If every training diverged.
    """
    base = Recipe.model_validate({**plan.recipe, "epochs": epochs, "train_on": "train+validation"})
    done: list[TrainedSeed] = []
    longest, threads = 0.0, torch.get_num_threads()
    torch.set_num_threads(1)  # as the plan measured it
    try:
        for seed in range(base.seed, base.seed + seeds):
            began = time.monotonic()
            if seed > base.seed and began + SLOWER * longest > deadline:
                break
            try:
                done.append(_train(base.model_copy(update={"seed": seed}), deadline, say))
            except Diverged as error:
                say(f"seed {seed}: diverged: {error.reason}")
            longest = max(longest, time.monotonic() - began)
    finally:
        torch.set_num_threads(threads)
    score = estimate([trained.top1 for trained in done])
    if score is None:
        raise UserError("every training diverged: change the learning rate in the recipe, or give it more --time to search one")
    ranked = sorted(done, key=lambda trained: trained.loss)
    median = ranked[(len(ranked) - 1) // 2]
    export_packed(median.trainer.network, median.info, model)
    return score


def _train(recipe: Recipe, deadline: float, say: Callable[[str], None]) -> TrainedSeed:
    trainer = Trainer(recipe)
    try:
        for report in TrainingRun(trainer):
            if time.monotonic() > deadline and not trainer.finished:
                say(f"seed {recipe.seed}: the time was over after {report.epoch:.0f} of {recipe.epochs} epochs")
                break
        top1 = trainer.evaluate("test")["top1"]
    finally:
        trainer.close()
    say(f"trained on training and validation split, seed {recipe.seed}: test Top-1 {top1:.2f} %")
    return TrainedSeed(trainer, describe(recipe, trainer.data), report.metrics[TRAIN_LOSS], top1)
