"""Which network, how many epochs and how many trials a given time has room for."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch

from rebnn_search.auto._look import Look
from rebnn_search.auto.presets import DEFAULT, PRESETS, Preset
from rebnn_search.base.metrics import IMAGES_PER_SECOND
from rebnn_search.config import UserError
from rebnn_search.training import Recipe, Trainer
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
STEPS, FEWER_STEPS, FEWEST_STEPS = 1500, 500, 100
"""Optimizer steps that a training should have, must have to be worth a search, and must have."""
EPOCHS = (6, 60)
"""Of a training, at least and at most: fewer leave a schedule no room, more only overfit."""
TABLE_EPOCHS = 30
"""Of a table's training: each is several passes over the rows."""
STUDENTS = 2
"""Trainings of what is distilled: one that is judged, one that is kept."""
FEWEST_EPOCHS = 3
"""Of a training without a search."""
PROBE_STEPS = 5
GPU_TRIALS = 4
"""Trials that share a GPU: each of these small networks leaves most of one idle."""


@dataclass(frozen=True)
class Rung:
    """A network of a ladder, smallest first, with what it was measured to cost.

    Attributes:
        network: The recipe's ``network``.
        image_size: Of the images it is given.
        epoch_seconds: Of one epoch, training and validation.
        open_seconds: Of opening the data, once in every trial.
    """

    network: dict[str, Any]
    image_size: int
    epoch_seconds: float
    open_seconds: float

    def training(self, epochs: int) -> float:
        """Seconds of a training alone on the machine."""
        return self.open_seconds + epochs * self.epoch_seconds


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


@dataclass(frozen=True)
class OpenedData:
    """Data opened for images of a size, and the seconds that took."""

    data: Data
    image_size: int
    seconds: float


def open_smallest(look: Look) -> OpenedData:
    """Open the data as the smallest network reads them.

    Raises:
        UserError: If they cannot be read, or are unfit.
    """
    return _open(look, next(_ladder(look))[1])


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
    for network, size in _ladder(look):
        if size != opened.image_size:
            opened = _open(look, size)
        rung = _measure(look, network, opened)
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
    most = TABLE_EPOCHS if not look.images else max(EPOCHS[1], _least_epochs(_steps(data), STEPS))
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
        if epochs >= _least_epochs(_steps(data), steps):
            return _Choice(epochs, steps, True, more)
    # One training on the training split and one on both splits, else the first alone.
    for trials, seeds, steps in ((1, 1, STEPS), (1, 1, FEWER_STEPS), (1, 0, FEWER_STEPS), (1, 0, FEWEST_STEPS)):
        epochs = _epochs(rung, data, left - DIRECT_OVERHEAD, trials, seeds, 1)
        if epochs >= _least_epochs(_steps(data), steps, FEWEST_EPOCHS):
            return _Choice(epochs, steps, False)
    return None


def _too_short(rung: Rung, data: Data, seconds: float, spent: float) -> UserError:
    epochs = _least_epochs(_steps(data), FEWEST_STEPS, FEWEST_EPOCHS)
    needed = spent + DIRECT_OVERHEAD + _cost(rung, data, epochs, 1, 0, 1) + LAST_SECONDS
    needed = 1.1 * needed / (1 - LAST_SHARE - LOOK_BACK_SHARE)
    return UserError(
        f"--time {seconds:.0f}s: is too short even for the smallest network and no search ({spent:.0f} s to start, "
        f"{epochs} epochs of {rung.epoch_seconds:.2g} s): --time {math.ceil(max(needed, seconds + 1) / 5) * 5}s would do"
    )


def _slots() -> int:
    """Trials at a time."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
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


def _steps(data: Data) -> int:
    """Optimizer steps of an epoch."""
    return max(1, data.size("train") // _batch_size(data))


def _batch_size(data: Data) -> int:
    count = len(data.labels("train"))
    fitting = 32 if count < 1000 else 64 if count < 20_000 else 128
    return min(fitting, 1 << (count.bit_length() - 1))


def _repeat(look: Look, count: int) -> int:
    """Passes over a table's rows that make an epoch: such that so many epochs are enough steps."""
    if look.images:
        return 1
    return max(1, min(20, round(STEPS / TABLE_EPOCHS / max(1, count // (32 if count < 1000 else 64)))))


def _open(look: Look, size: int) -> OpenedData:
    start = time.monotonic()
    if look.data["name"] == "image_folder":
        data = look.open(image_size=size, augment=_augment(size))
    else:
        data = look.open()
        if (repeat := _repeat(look, len(data.labels("train")))) > 1:
            data = look.open(repeat=repeat)
    return OpenedData(data, size, time.monotonic() - start)


def _augment(size: int) -> Any:
    from rebnn_search.config import Component
    from rebnn_search.training.data import AUGMENTATIONS

    return Component("name", "crop_flip", {"padding": max(1, size // 8), "flip": False}, AUGMENTATIONS["crop_flip"])


def _ladder(look: Look) -> Iterator[tuple[dict[str, Any], int]]:
    """Networks and image sizes, smallest first."""
    if not look.images:
        for width in (32, 64, 128):
            yield {"name": "mlp", "width": width, "depth": 2}, 1
        return
    fixed_size = look.data["name"] != "image_folder"
    sizes = [look.side] if fixed_size else sorted({min(look.side, size) for size in (16, 32, 64)})
    for size in sizes:
        larger = [(16, 1), (32, 1), (32, 2)] if size == sizes[-1] else [(16, 1)]
        for width, depth in ([(8, 1)] if size == sizes[0] else []) + larger:
            yield {"name": "digits_resnet", "width": width, "depth": depth}, size


def _measure(look: Look, network: dict[str, Any], opened: OpenedData) -> Rung:
    """Train a few steps, validate, and say what an epoch costs."""
    data, size, steps = opened.data, opened.image_size, _steps(opened.data)
    recipe = _recipe(look, network, size, data, epochs=2) | {"reports_per_epoch": max(1, steps // PROBE_STEPS)}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        trainer = Trainer(Recipe.model_validate(recipe), data=data)
        trainer.next_report()  # the first is slower than those to come
        start = time.perf_counter()
        report = trainer.next_report()
        wall = time.perf_counter() - start
        trainer.close()
    finally:
        torch.set_num_threads(threads)
    training = report.metrics[IMAGES_PER_SECOND]
    probe = -(-steps // recipe["reports_per_epoch"]) * recipe["batch_size"] / training
    return Rung(network, size, steps * recipe["batch_size"] / training + max(0.0, wall - probe), opened.seconds)


def _recipe(look: Look, network: dict[str, Any], size: int, data: Data, epochs: int) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if look.data["name"] == "image_folder":
        options["image_size"] = size
    if look.images:
        options["augment"] = _augment(size).dump()
    elif (repeat := _repeat(look, len(data.labels("train")))) > 1:
        options["repeat"] = repeat
    return {
        "data": {**look.data, **options},
        "network": network,
        "gamma": {"strategy": "flip_ratio"},
        "optimizer": {"name": "adamw", "lr": 1e-2 if look.images else 3e-3, "weight_decay": 1e-3},
        "epochs": epochs,
        "batch_size": _batch_size(data),
        "reports_per_epoch": 1,
    }


def _plan(look: Look, rung: Rung, data: Data, epochs: int, seeds: int, later: int, unsearched: str) -> Plan:
    """The plan; ``unsearched`` is why there is no search, empty where there is one."""
    recipe = _recipe(look, rung.network, rung.image_size, data, epochs)
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
