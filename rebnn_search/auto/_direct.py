"""Trains without a search: where the time has no room for one, in this process, which needs neither Ray nor MLflow."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from rebnn_search.auto._candidate import HELD_OUT, JOINED, Candidate, Made
from rebnn_search.auto._deadlines import SLOWER
from rebnn_search.auto._plan import Plan
from rebnn_search.base.metrics import TRAIN_LOSS, VAL_TOP1
from rebnn_search.config import UserError
from rebnn_search.export import describe
from rebnn_search.export.timing import one_thread
from rebnn_search.study.estimate import estimate, median_training
from rebnn_search.training import Diverged, Recipe, Trainer, TrainingRun


@dataclass(frozen=True)
class TrainedOnce:
    """A training that came to its end, or to that of the time.

    Attributes:
        candidate: Its network.
        loss: On what it was trained on, at the last.
        top1: Percent on the test split; None of one on the training split, whose test split is read if it becomes the model.
        seconds: That it took.
        whole: Whether it came to its end.
    """

    candidate: Candidate
    loss: float
    top1: float | None
    seconds: float
    whole: bool


def train_directly(plan: Plan, epochs: int, seeds: int, deadline: float, say: Callable[[str], None]) -> Made:
    """Train the recipe's own values on the training split, then on training and validation split, as far as there is time.

    The first tells how sure the network may be, and is the model where there is no time for the second.

    Args:
        plan: The recipe.
        epochs: Of each training.
        seeds: On training and validation split, at most; each is begun if it would be done in time.
        deadline: By `time.monotonic`; a training that comes there ends with the epoch it is in.
        say: Called with each line.

    Returns:
        The network of the seed of median training loss, or the first.

    Raises:
        UserError: If every training diverged.
    """
    base = Recipe.model_validate({**plan.recipe, "epochs": epochs})
    first = train(base, deadline, say, "first training")
    longer = plan.refit_seconds / max(plan.trial_seconds, 1e-9)
    longest = plan.refit_seconds if first is None else first.seconds * longer
    done: list[TrainedOnce] = []
    for seed in range(base.seed, base.seed + seeds):
        if time.monotonic() + SLOWER * longest > deadline:
            break
        recipe = base.model_copy(update={"seed": seed, "train_on": "train+validation"})
        trained = train(recipe, deadline, say, "last training")
        if trained is not None:
            done.append(trained)
            longest = max(longest, trained.seconds)
    done = [training for training in done if training.whole] or done
    judged = None if first is None else first.candidate
    median = median_training(done, lambda training: training.loss)
    if median is None:
        if judged is None:
            raise UserError(
                "every training diverged: change the learning rate in the recipe, or give it more --time to search one"
            )
        say("no time was left for a last training on training and validation split")
        return Made(judged, judged, [], None, 0)
    others = [training.candidate for training in done if training is not median]
    score = estimate([training.top1 for training in done if training.top1 is not None])
    return Made(median.candidate, judged, others, score, 0)


@one_thread()  # as the plan measured it
def train(recipe: Recipe, deadline: float, say: Callable[[str], None], name: str) -> TrainedOnce | None:
    """Train a recipe to its end, or to the end of the epoch that the time ends in; None if it diverged.

    Args:
        recipe: Of a training on the training split or on both.
        deadline: By `time.monotonic`.
        say: Called with each line.
        name: Of what is trained, less the seed.
    """
    begun, trainer = time.monotonic(), Trainer(recipe)
    joined = recipe.train_on != "train"
    words = JOINED if joined else HELD_OUT
    try:
        for report in TrainingRun(trainer):
            if time.monotonic() > deadline and not trainer.finished:
                say(f"seed {recipe.seed}: the time was over after {report.epoch:.0f} of {recipe.epochs} epochs")
                break
        top1 = trainer.evaluate("test")["top1"] if joined else None
    except Diverged as error:
        say(f"seed {recipe.seed}: diverged: {error.reason}")
        return None
    finally:
        trainer.close()
    said = f"validation Top-1 {report.metrics[VAL_TOP1]:.2f} %" if top1 is None else f"test Top-1 {top1:.2f} %"
    say(f"trained on {words}, seed {recipe.seed}: {said}" if name == "last training" else f"{name}, on {words}: {said}")
    network = trainer.network.cpu().eval().requires_grad_(False)
    candidate = Candidate(f"{name}, seed {recipe.seed}", network, describe(recipe, trainer.data), words)
    return TrainedOnce(candidate, report.metrics[TRAIN_LOSS], top1, time.monotonic() - begun, trainer.finished)
