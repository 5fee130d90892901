"""Logits of trained trials on samples of the validation split, within a time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

import torch
from torch import Tensor, nn

from rebnn_search.config import UserError
from rebnn_search.report.tracked import TrackedSearch, TrackedTrial
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.training import CheckpointDirectory, Recipe
from rebnn_search.training.data import Data
from rebnn_search.training.data.normalisation import normalise
from rebnn_search.training.run import trainer_state

BATCH = 64
MOST_SAMPLES = 10_000
LONG = 0.2
"""Seconds of a batch for which more than one thread is worth its while."""


@dataclass(frozen=True)
class Outputs:
    """What a network says to some samples.

    Attributes:
        logits: (samples, classes) float32.
        labels: (samples,) int64.
        batch_seconds: That a batch took, median.
    """

    logits: Tensor
    labels: Tensor
    batch_seconds: float


def trained_network(search: TrackedSearch, folder: SearchFolder, trial: TrackedTrial, data: Data) -> nn.Module:
    """The network of a trial, from its newest checkpoint in the search's folder, in evaluation mode on the CPU.

    Raises:
        UserError: If there is no checkpoint of it, or none that fits.
    """
    found = CheckpointDirectory(folder.checkpoints(trial.number)).latest("cpu")
    if found is None:
        raise UserError(f"no checkpoint of #{trial.number} is here")
    recipe: Recipe = search.search.recipe(trial.params)
    network = recipe.build_network(data)
    try:
        network.load_state_dict(trainer_state(found[1])["network"])
    except (RuntimeError, KeyError):
        raise UserError(f"the checkpoint of #{trial.number} is of another network") from None
    return network.eval()


def drawn(size: int) -> Tensor:
    """The samples that are computed, in an order that has nothing to do with theirs: a part of them stands for all."""
    return torch.randperm(size, generator=torch.Generator().manual_seed(0))[:MOST_SAMPLES]


@torch.no_grad()
def compute(network: nn.Module, data: Data, indices: Tensor, seconds: float) -> Outputs:
    """Compute the logits of validation samples, batch by batch; after so many seconds no further batch begins."""
    began = time.monotonic()
    parts: Sequence[Tensor] = torch.split(indices, BATCH)
    logits, labels, times = [], [], [began]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a small network is slowed by more, many times where others want the cores too
    try:
        for raw, right in data.read("validation", parts, torch.device("cpu")):
            logits.append(network(normalise(raw, data.mean, data.std)).float())
            labels.append(right)
            times.append(time.monotonic())
            if times[-1] - began > seconds:
                break
            if times[-1] - times[-2] > LONG:
                torch.set_num_threads(threads)
    finally:
        torch.set_num_threads(threads)
    return Outputs(torch.cat(logits), torch.cat(labels), median(b - a for a, b in pairwise(times)))
