"""Which network, how many epochs and how many trials a given time has room for."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import Any

import torch

from rebnn_search.auto._look import Look
from rebnn_search.auto._networks import (
    FEWER_STEPS,
    FEWEST_STEPS,
    STEPS,
    TABLE_EPOCHS,
    OpenedData,
    Rung,
    ladder,
    measure,
    open_for,
    recipe_for,
    steps_of,
)
from rebnn_search.auto.presets import DEFAULT, PRESETS, Preset
from rebnn_search.base.cores import whole_cores
from rebnn_search.config import UserError
from rebnn_search.training.data import Data

SEARCH_OVERHEAD, REFIT_OVERHEAD, DIRECT_OVERHEAD = 18.0, 6.0, 2.0
"""Seconds that starting and ending a search takes beside its trials, and a refit beside its epochs, on a slow machine; and a training
without a search beside its epochs."""
IMPORTS = 1.5
"""How many times as long as the start of this process the imports of Ray and MLflow take, and the workers' own start."""
LAST_SECONDS, LAST_SHARE = 3.0, 0.02
"""Kept for writing the model and for the process's start and end, and a share of the time in which it may be held up."""
LOOK_BACK_SHARE, LONGEST_LOOK_BACK = 0.08, 60.0
"""Of the time, and at most so many seconds, for what is found out about the model once it is trained."""
SHARING = 1.5
"""How much slower a trial is beside the others and the driver than alone."""
TRIALS = 10
"""Whole trainings that a search must have room for; pruned trials make many more of them."""
MOST_TRIALS = 200
EPOCHS = (6, 60)
"""Of a training, at least and at most: fewer leave a schedule no room, more only overfit."""
STUDENTS = 2
"""Trainings of what is distilled: one that is judged, one that is kept."""
FEWEST_EPOCHS = 3
"""Of a training without a search."""
GPU_TRIALS = 4
"""Trials that share a GPU: each of these small networks leaves most of one idle."""


@dataclass(frozen=True)
class Plan:
    """What will be done.

    Attributes:
        recipe: As a file holds it.
        space: The search's ``space``.
        epochs: Of each training.
        trial_seconds: Of a training alone on the machine.
        refit_seconds: Of one seed's last training, on training and validation split.
        seeds: Last trainings that time is kept for.
        searched: Whether there is time for a search; else the recipe is trained as it is.
        later: Trainings that time is kept for after the last ones: those that are distilled, and that in real weights.
        reasons: Lines for the user.
        data: Opened as the network reads them.
    """

    recipe: dict[str, Any]
    space: dict[str, Any]
    epochs: int
    trial_seconds: float
    refit_seconds: float
    seeds: int
    searched: bool
    later: int
    reasons: list[str]
    data: Data

    def search(self, recipe_file: str) -> dict[str, Any]:
        """The search as a file holds it."""
        resources: dict[str, Any] = {"cpus_per_worker": 1}
        if torch.cuda.is_available():
            resources["gpus_per_worker"] = 1 / GPU_TRIALS
        return {
            "recipe": recipe_file,
            "space": self.space,
            "fixed": [{}],
            "sampler": {"name": "tpe", "n_startup_trials": 6},
            "pruner": {"name": "median", "n_startup_trials": 4, "n_warmup_steps": max(1, self.epochs // 4)},
            "trials": MOST_TRIALS,
            "resources": resources,
        }


def kept_seconds(seconds: float) -> float:
    """Of a time, what is kept for its end."""
    return LAST_SECONDS + LAST_SHARE * seconds


def look_back_seconds(seconds: float) -> float:
    """Of a time, what is kept for what is found out about the model."""
    return min(LONGEST_LOOK_BACK, LOOK_BACK_SHARE * seconds)


def plan_for(
    look: Look,
    opened: OpenedData,
    seconds: float,
    seeds: int,
    begun: float,
    preset: Preset = PRESETS[DEFAULT],
    balanced: bool = False,
) -> Plan:
    """Measure networks of rising size and plan with the largest that has time for enough epochs.

    A search of whole trainings where there is time for one, else of shorter ones, else a training without a search, which needs no
    Ray: with as many steps as there should be, or fewer.

    Args:
        look: At the data.
        opened: From `open_smallest`.
        seconds: For everything.
        seeds: Last trainings wanted.
        begun: When the time began, by `time.monotonic`.
        preset: How the time is used.
        balanced: Whether classes count alike.

    Raises:
        UserError: If the time is too short for the smallest network, saying which would do; or the data are unfit.
    """
    started = time.monotonic() - begun - opened.seconds
    best: tuple[Rung, Data, _Choice] | None = None
    later = preset.real_weights + (preset.teachers + STUDENTS if preset.teachers else 0)
    for network, size in ladder(look):
        if size != opened.image_size:
            opened = open_for(look, size)
        rung = measure(look, network, opened)
        left = seconds - (time.monotonic() - begun) - kept_seconds(seconds) - look_back_seconds(seconds)
        overhead = SEARCH_OVERHEAD + IMPORTS * started + REFIT_OVERHEAD if preset.searched else math.inf
        choice = _choose(rung, opened.data, left, seeds, later, overhead)
        if best is None and choice is None:
            raise _too_short(rung, opened.data, seconds, time.monotonic() - begun)
        # A larger network only where it gets as many steps as it should, and as much of a search and of what follows.
        if choice is None or (best is not None and (choice.steps < STEPS or _extent(choice) != _extent(best[2]))):
            break
        best = (rung, opened.data, choice)
        if choice.steps < STEPS:
            break
    assert best is not None
    rung, data, choice = best
    most = TABLE_EPOCHS if not look.images else max(EPOCHS[1], _least_epochs(steps_of(data), STEPS))
    epochs = min(choice.epochs, max(FEWEST_EPOCHS, math.ceil(preset.length * most)))
    why = (
        ""
        if choice.searched
        else "the time has no room for one beside Ray's start"
        if preset.searched
        else "the preset has none"
    )
    plan = _plan(look, rung, data, epochs, seeds if choice.searched else 1, choice.later, why)
    return replace(plan, recipe={**plan.recipe, "loss": {"class_weight": "balanced"}}) if balanced else plan


@dataclass(frozen=True)
class _Choice:
    """How a network is trained: the epochs there is time for, the steps that they are at least, whether after a search, and how many
    further trainings there is time for.
    """

    epochs: int
    steps: int
    searched: bool
    later: int = 0


def _extent(choice: _Choice) -> tuple[bool, bool]:
    """Whether it searches, and whether it distils."""
    return choice.searched, choice.later > 1


def _choose(rung: Rung, data: Data, left: float, seeds: int, later: int, overhead: float) -> _Choice | None:
    """The best that a network has time for; None if it has not even for the shortest training. An endless overhead: no search."""
    slots = _slots()
    for steps, more in ((STEPS, later), (STEPS, 0), (FEWER_STEPS, 0)) if overhead < left else ():
        epochs = _epochs(rung, data, left - overhead, TRIALS, seeds + more, slots)
        if epochs >= _least_epochs(steps_of(data), steps):
            return _Choice(epochs, steps, True, more)
    # One training on the training split and one on both splits, else the first alone.
    for trials, seeds, steps in ((1, 1, STEPS), (1, 1, FEWER_STEPS), (1, 0, FEWER_STEPS), (1, 0, FEWEST_STEPS)):
        epochs = _epochs(rung, data, left - DIRECT_OVERHEAD, trials, seeds, 1)
        if epochs >= _least_epochs(steps_of(data), steps, FEWEST_EPOCHS):
            return _Choice(epochs, steps, False)
    return None


def _too_short(rung: Rung, data: Data, seconds: float, spent: float) -> UserError:
    epochs = _least_epochs(steps_of(data), FEWEST_STEPS, FEWEST_EPOCHS)
    needed = spent + DIRECT_OVERHEAD + _cost(rung, data, epochs, 1, 0, 1) + LAST_SECONDS
    needed = 1.1 * needed / (1 - LAST_SHARE - LOOK_BACK_SHARE)
    return UserError(
        f"--time {seconds:.0f}s: is too short even for the smallest network and no search ({spent:.0f} s to start, "
        f"{epochs} epochs of {rung.epoch_seconds:.2g} s): --time {math.ceil(max(needed, seconds + 1) / 5) * 5}s would do"
    )


def _slots() -> int:
    """Trials at a time."""
    cores = whole_cores()
    return min(cores, GPU_TRIALS) if torch.cuda.is_available() else cores


def _cost(rung: Rung, data: Data, epochs: int, trials: int, seeds: int, slots: int) -> float:
    """Seconds of a search of so many whole trainings and the last trainings after it."""
    searching = -(-trials // slots) * SHARING * rung.training(epochs)
    return searching + seeds * (rung.open_seconds + epochs * rung.epoch_seconds * _joined(data))


def _epochs(rung: Rung, data: Data, left: float, trials: int, seeds: int, slots: int) -> int:
    """The epochs for which the cost is what is left; less than 1 where there is no room."""
    fixed = _cost(rung, data, 0, trials, seeds, slots)
    each = _cost(rung, data, 1, trials, seeds, slots) - fixed
    return math.floor((left - fixed) / each)


def _joined(data: Data) -> float:
    """How much longer an epoch is on training and validation split."""
    train, validation = len(data.labels("train")), len(data.labels("validation"))
    return (train + validation) / train


def _least_epochs(steps: int, total: int, least: int = EPOCHS[0]) -> int:
    return max(least, math.ceil(total / steps))


def _plan(look: Look, rung: Rung, data: Data, epochs: int, seeds: int, later: int, unsearched: str) -> Plan:
    """The plan; ``unsearched`` is why there is no search, empty where there is one."""
    recipe = recipe_for(look, rung.network, rung.image_size, data, epochs)
    space: dict[str, Any] = {
        "optimizer.lr": {"log_uniform": [1e-3, 3e-2]},
        "optimizer.weight_decay": {"log_uniform": [1e-5, 1e-1]},
        "gamma.strategy": {"choice": ["flip_ratio", "max_gradient"]},
    }
    if look.images:
        space["data.augment.padding"] = {"choice": sorted({0, max(1, rung.image_size // 8)})}
        space["data.augment.flip"] = {"choice": [False, True]}
    else:
        width = rung.network["width"]
        space["network.width"] = {"choice": [width // 2, width]}
    passes = epochs * (recipe["data"].get("repeat", 1))
    kind = "a binary perceptron" if not look.images else f"a small binary ResNet on {rung.image_size}×{rung.image_size}"
    words = ", ".join(f"{key} {value}" for key, value in rung.network.items() if key != "name")
    reasons = [
        f"network: {kind} ({words}): the largest tried that has time for its steps; an epoch takes {rung.epoch_seconds:.2g} s",
        f"each training: {epochs} epochs" + (f" of {passes // epochs} passes each" if passes > epochs else "")
        + f", batches of {recipe['batch_size']}: about {rung.training(epochs):.0f} s alone",
        f"no search: {unsearched}" if unsearched else f"searched: {', '.join(space)}",
    ]  # fmt: skip
    refit = rung.open_seconds + epochs * rung.epoch_seconds * _joined(data)
    return Plan(recipe, space, epochs, rung.training(epochs), refit, seeds, not unsearched, later, reasons, data)
