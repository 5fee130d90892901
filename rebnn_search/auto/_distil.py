"""Distils an ensemble of real-weight networks into one binary network, and says whether that was worth it.

Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015; the loss of Shen and Savvides, "MEAL V2", 2020.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor, nn

from rebnn_search.auto._alternatives import float_bytes, train_real
from rebnn_search.auto._candidate import Candidate, Made
from rebnn_search.auto._deadlines import SLOWER
from rebnn_search.auto._direct import train
from rebnn_search.auto._plan import STUDENTS
from rebnn_search.auto._scores import scores_of
from rebnn_search.study.estimate import Estimate
from rebnn_search.training import Recipe
from rebnn_search.training.calibration import cross_entropy, fit_temperature
from rebnn_search.training.data import Data
from rebnn_search.training.ensemble_teacher import Ensemble, write_ensemble
from rebnn_search.training.evaluation import logits_of

LABEL_SHARE = 0.5
"""Of the labels' cross-entropy in a student's loss, beside the teachers'."""
FEWEST_TEACHERS = 2
WITHIN_POINTS, SMALLER = 1.0, 20.0
"""What is aimed at: within a point of the ensemble at a twentieth of its bytes."""


@dataclass(frozen=True)
class Distilled:
    """What came of it.

    Attributes:
        teachers: Networks in the ensemble; 0 where there was no time for it.
        ensemble_bytes: In float32.
        ensemble_validation, student_validation, plain_validation: Top-1 (percent) on the validation split of what was trained on the
            training split: the ensemble, the student and the search's chosen trial.
        ensemble_test: Top-1 (percent) on the test split.
        student_loss, plain_loss: Cross-entropy on the validation split, calibrated: what is chosen by.
        chosen: Whether the student is the model.
        reason: Why, for the user.
    """

    teachers: int
    ensemble_bytes: int = 0
    ensemble_validation: float | None = None
    student_validation: float | None = None
    plain_validation: float | None = None
    ensemble_test: float | None = None
    student_loss: float | None = None
    plain_loss: float | None = None
    chosen: bool = False
    reason: str = ""


@dataclass(frozen=True)
class Terms:
    """What a distillation is given.

    Attributes:
        data: Opened as the recipe reads them.
        weights: (classes,) of a sample of each class; None is 1.
        teachers: Wanted.
        seconds: Expected of a training on both splits.
        folder: Where the teachers' weights go.
        deadline: By `time.monotonic`.
    """

    data: Data
    weights: Tensor | None
    teachers: int
    seconds: float
    folder: Path
    deadline: float


def distil(made: Made, terms: Terms, say: Callable[[str], None]) -> tuple[Made, Distilled]:
    """Train teachers and a student of the chosen recipe; the student becomes the model if validation has it before the chosen trial.

    Teachers and the student that is judged are trained on the training split alone. The model's own student then learns on both
    splits, as the last trainings that it replaces did.

    Returns:
        What is made now, and what came of the distillation.
    """
    judged = made.judged
    if judged is None:
        return made, Distilled(0, reason="no network of the recipe was trained on the training split alone")
    recipe = Recipe.model_validate({**judged.info.recipe, "train_on": "train"})
    networks = _teachers(recipe, terms, say)
    if len(networks) < FEWEST_TEACHERS:
        return made, Distilled(0, reason="no time was left for an ensemble and its student")
    write_ensemble(terms.folder, recipe, networks)
    ensemble = Ensemble(networks).eval()
    known = Distilled(
        len(networks), sum(map(float_bytes, networks)), _top1(ensemble, terms.data, "validation"),
        ensemble_test=_top1(ensemble, terms.data, "test"),
    )  # fmt: skip
    loss = {
        **recipe.dump().get("loss", {}),
        "teacher": {"name": "ensemble", "path": str(terms.folder.absolute())}, "label_share": LABEL_SHARE,
    }  # fmt: skip
    student = Recipe.model_validate({**recipe.dump(), "loss": loss})
    first = train(student, terms.deadline, say, "student")
    if first is None:
        return made, replace(known, reason="the student diverged")
    theirs, ours = _validated(first.candidate, terms), _validated(judged, terms)
    known = replace(known, student_validation=theirs[1], plain_validation=ours[1], student_loss=theirs[0], plain_loss=ours[0])
    words = f"validation loss {theirs[0]:.4f} of the distilled network, {ours[0]:.4f} of {judged.name}"
    others = [made.shipped, *made.others, judged]
    if theirs[0] >= ours[0]:
        return replace(made, others=[*made.others, first.candidate]), replace(
            known, reason=f"{words}: {made.shipped.name} stays the model"
        )
    # With the teachers' passes: a student takes longer than the plain training that `Terms.seconds` is of.
    joined = 1 + terms.data.size("validation") / terms.data.size("train")
    if time.monotonic() + SLOWER * max(terms.seconds, first.seconds * joined) > terms.deadline:
        reason = f"{words}, but no time was left to distil on both splits: {made.shipped.name} stays the model"
        return replace(made, others=[*made.others, first.candidate]), replace(known, reason=reason)
    last = train(student.model_copy(update={"train_on": "train+validation"}), terms.deadline, say, "distilled")
    if last is None or last.top1 is None:
        return replace(made, others=[*made.others, first.candidate]), replace(known, reason="the last student diverged")
    if not last.whole:
        reason = f"{words}, but the time was over before it was distilled on both splits: {made.shipped.name} stays the model"
        return replace(made, others=[*made.others, first.candidate]), replace(known, reason=reason)
    new = Made(last.candidate, first.candidate, others, Estimate(last.top1, None, 1), made.trials)
    return new, replace(known, chosen=True, reason=f"{words}: the distilled network is the model")


def _teachers(recipe: Recipe, terms: Terms, say: Callable[[str], None]) -> list[nn.Module]:
    networks: list[nn.Module] = []
    longest = terms.seconds
    for seed in range(recipe.seed, recipe.seed + terms.teachers):
        begun = time.monotonic()
        needed = max(FEWEST_TEACHERS - len(networks), 1) + STUDENTS  # fewer teachers than that are no ensemble
        if begun + SLOWER * longest * needed > terms.deadline:
            break
        trained = train_real(recipe.model_copy(update={"seed": seed}), terms.deadline)
        if isinstance(trained, str):
            say(f"teacher of seed {seed}: {trained}")
            continue
        networks.append(trained)
        longest = max(longest, time.monotonic() - begun)
        say(f"teacher of seed {seed}, in real weights: validation Top-1 {_top1(trained, terms.data, 'validation'):.2f} %")
    return networks


def _top1(network: nn.Module, data: Data, split: str) -> float:
    return scores_of(logits_of(network, data, split), data.labels(split)).top1  # type: ignore[arg-type]


def _validated(candidate: Candidate, terms: Terms) -> tuple[float, float]:
    """The cross-entropy on the validation split at the best temperature, and Top-1 in percent."""
    logits, labels = logits_of(candidate.network, terms.data, "validation"), terms.data.labels("validation")
    weights = None if terms.weights is None else terms.weights[labels]
    temperature = fit_temperature(logits, labels, weights)
    return cross_entropy(logits, labels, temperature, weights), scores_of(logits, labels).top1


def distilled_lines(found: Distilled, test_top1: float, size: int) -> list[str]:
    """For the user.

    Args:
        found: What came of it.
        test_top1: Percent on the test split, of the model.
        size: Bytes of the model.
    """
    if not found.teachers or found.ensemble_test is None:
        return [f"not distilled: {found.reason}"]
    behind, ratio = found.ensemble_test - test_top1, found.ensemble_bytes / size
    kept = behind <= WITHIN_POINTS and ratio >= SMALLER
    where = f"{abs(behind):.2f} points {'below' if behind > 0 else 'above'} it at 1/{ratio:.0f} of its size"
    goal = f"{'within' if kept else 'not within'} {WITHIN_POINTS:.0f} point at 1/{SMALLER:.0f}"
    ensemble = f"test {found.ensemble_test:.2f} %, {found.ensemble_bytes:,} bytes"
    return [
        f"distilled: {found.reason}",
        f"  ensemble of {found.teachers} in real weights: {ensemble}; the model is {where}: {goal}",
    ]
