"""What the user could have had instead of the model, on the same rows and within what is left of the time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rebnn_search.auto._candidate import JOINED, Candidate
from rebnn_search.auto._deadlines import SLOWER
from rebnn_search.auto._fit_alternatives import BOOSTING, LOGISTIC
from rebnn_search.auto._scores import Scores, scores_of
from rebnn_search.export.timing import one_thread
from rebnn_search.training import Diverged, Recipe, Trainer, TrainingRun
from rebnn_search.training.data import Data, ResidentData, Split
from rebnn_search.training.data.base import SPLITS
from rebnn_search.training.evaluation import logits_of
from rebnn_search.training.stages import REAL

MAJORITY, REAL_WEIGHTS = "the largest class, always", "the same network, real weights"
LEAST_SECONDS = 1.0
"""In which a fit can be begun at all."""
MOST_VALUES = 2**26
"""Numbers that are copied for a fit."""
MOST_SPLITS = 2**24
"""Pixels times images that gradient boosting is given: what it makes of pixels is poor, and slow."""
FEW_VALUES = 10**6
"""Numbers that one thread fits."""
PROGRAM = Path(__file__).with_name("_fit_alternatives.py")


@dataclass(frozen=True)
class Alternative:
    """Something else that learns the same.

    Attributes:
        name: What it is.
        test_top1: Percent of the test split; None if it was left out.
        test_balanced: Mean over the classes of the percent that are right, likewise.
        bytes: Of its parameters in float32, where that is known.
        left_out: Why, if it was.
    """

    name: str
    test_top1: float | None
    test_balanced: float | None
    bytes: int | None = None
    left_out: str = ""


def majority_scores(data: Data) -> Scores:
    """What guessing the training split's largest class comes to on the test split."""
    largest = torch.bincount(data.labels("train"), minlength=data.num_classes).argmax()
    logits = torch.nn.functional.one_hot(largest.expand(len(data.labels("test"))), data.num_classes)
    return scores_of(logits, data.labels("test"))


def majority_alternative(data: Data) -> Alternative:
    """The guess that needs no learning."""
    return _alternative(MAJORITY, majority_scores(data))


class Fits:
    """Logistic regression and gradient boosting of scikit-learn's, in a process beside this one.

    A context manager, at whose end the process is gone.

    Args:
        data: Of which the samples' numbers are taken as they are normalised.
        images: Whether they are pixels.
        balanced: Whether classes count alike.
        trained_on: What the model was, of `HELD_OUT` and `JOINED`: they are fitted to the same.
        end: By `time.monotonic`, when the process is ended.
    """

    def __init__(self, data: Data, images: bool, balanced: bool, trained_on: str, end: float) -> None:
        self._end = end
        self._child: subprocess.Popen[str] | None = None
        self._refused = dict(_refused(data, images, end))
        self._wanted = [name for name in (LOGISTIC, BOOSTING) if name not in self._refused]
        self._folder = tempfile.TemporaryDirectory()
        if self._wanted:
            assert isinstance(data, ResidentData)
            file, values = _write(data, trained_on == JOINED, Path(self._folder.name))
            # More threads than a small table needs wait for each other, the longer the busier the machine.
            few = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"} if values < FEW_VALUES else {}
            words = [sys.executable, "-P", str(PROGRAM), str(file), "balanced" if balanced else "equal", *self._wanted]
            self._child = subprocess.Popen(
                words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **few}
            )  # fmt: skip

    def __enter__(self) -> Fits:
        return self

    def __exit__(self, *_: object) -> None:
        if self._child is not None and self._child.poll() is None:
            self._child.kill()
            self._child.communicate()
        self._folder.cleanup()

    def alternatives(self) -> list[Alternative]:
        """What is fitted by the end, and what is left out."""
        lines, trouble = self._outcome()
        found = {line["name"]: line for line in map(json.loads, lines)}
        return [
            _without(name, self._refused[name]) if name in self._refused
            else Alternative(name, found[name]["top1"], found[name]["balanced"]) if name in found
            else _without(name, trouble)
            for name in (LOGISTIC, BOOSTING)
        ]  # fmt: skip

    def _outcome(self) -> tuple[list[str], str]:
        """What the process wrote, and why it wrote no more."""
        if self._child is None:
            return [], ""
        try:
            out, said = self._child.communicate(timeout=max(0.1, self._end - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._child.kill()
            out, _ = self._child.communicate()
            return out.splitlines(), "the time was over"
        if self._child.returncode < 0:  # what it wrote before is no reason
            return out.splitlines(), f"its process was ended by {signal.Signals(-self._child.returncode).name}"
        last = said.strip().splitlines()[-1:] or [f"its process ended with {self._child.returncode}"]
        return out.splitlines(), f"it failed: {last[0]}"


def _refused(data: Data, images: bool, end: float) -> Iterator[tuple[str, str]]:
    """What is not fitted, and why."""
    late = end - time.monotonic() < LEAST_SECONDS
    values = data.image_size**2 * data.channels * sum(len(data.labels(split)) for split in SPLITS)
    for name in (LOGISTIC, BOOSTING):
        if not isinstance(data, ResidentData):
            yield name, "the images are streamed"
        elif values > MOST_VALUES:
            yield name, f"{values:,} numbers are too many for a comparison"
        elif images and name == BOOSTING and values > MOST_SPLITS:
            yield name, "too many pixels"
        elif late:
            yield name, "no time was left"


def _write(data: ResidentData, joined: bool, folder: Path) -> tuple[Path, int]:
    """The arrays as the program reads them, and how many numbers they hold; to learn from with the validation split or without."""
    file = folder / "arrays.npz"
    known = [_features(data, split) for split in SPLITS if split == "train" or (joined and split == "validation")]
    unknown, truth = _features(data, "test")
    rows = np.concatenate([part[0] for part in known])
    np.savez(file, known=rows, labels=np.concatenate([part[1] for part in known]), unknown=unknown, truth=truth)
    return file, rows.size


def real_alternative(shipped: Candidate, data: Data, seconds: float, end: float) -> Alternative:
    """The model's recipe with real weights, trained as long on the same rows, if that can be done in time.

    Args:
        shipped: Whose recipe.
        data: Opened as it reads them.
        seconds: Expected of a training.
        end: By `time.monotonic`.
    """
    if time.monotonic() + SLOWER * seconds > end:
        return _without(REAL_WEIGHTS, f"no time was left for a training of about {seconds:.0f} s")
    train_on = "train+validation" if shipped.trained_on == JOINED else "train"
    trained = train_real(Recipe.model_validate({**shipped.info.recipe, "train_on": train_on}), end)
    if isinstance(trained, str):
        return _without(REAL_WEIGHTS, trained)
    scores = scores_of(logits_of(trained, data, "test"), data.labels("test"))
    return _alternative(REAL_WEIGHTS, scores, float_bytes(trained))


@one_thread()  # as the plan measured it
def train_real(recipe: Recipe, end: float) -> torch.nn.Module | str:
    """Train a recipe's network with real weights; why not, if it diverged or the time was over. On the CPU, frozen."""
    trainer = Trainer(recipe.model_copy(update={"weights": REAL, "stage_one": None}))
    try:
        for report in TrainingRun(trainer):
            if time.monotonic() > end and not trainer.finished:
                return f"the time was over after {report.epoch:.0f} of {recipe.epochs} epochs"
    except Diverged as error:
        return f"it diverged: {error.reason}"
    finally:
        trainer.close()
    return trainer.network.cpu().eval().requires_grad_(False)


def float_bytes(network: torch.nn.Module) -> int:
    """Bytes of a network's state, real numbers in float32."""
    return sum(4 * value.numel() if value.is_floating_point() else value.nbytes for value in network.state_dict().values())


def comparison_lines(alternatives: Sequence[Alternative], trained_on: str) -> list[str]:
    """For the user."""
    lines = [f"what else there was, trained on {trained_on}; on the test split:"]
    for one in alternatives:
        if one.test_top1 is None or one.test_balanced is None:
            lines.append(f"  {one.name}: left out: {one.left_out}")
            continue
        size = f", {one.bytes:,} bytes" if one.bytes else ""
        lines.append(f"  {one.name}: {one.test_top1:.2f} %, balanced {one.test_balanced:.2f} %{size}")
    return lines


def _alternative(name: str, scores: Scores, size: int | None = None) -> Alternative:
    return Alternative(name, scores.top1, scores.balanced, size)


def _without(name: str, why: str) -> Alternative:
    return Alternative(name, None, None, left_out=why)


def _features(data: ResidentData, split: Split) -> tuple[np.ndarray, np.ndarray]:
    samples = data.samples(split)
    values: Tensor = (samples.images.to(data.mean.dtype) - data.mean) / data.std
    return values.flatten(1).float().numpy(), samples.labels.numpy()
