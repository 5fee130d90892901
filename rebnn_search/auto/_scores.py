"""How right logits are."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Scores:
    """Percent of samples whose largest logit is the label's: of all, and the mean over the classes that are there."""

    top1: float
    balanced: float


def scores_of(logits: Tensor, labels: Tensor) -> Scores:
    """The scores of logits (N, classes) with labels (N,) int64."""
    right = (logits.argmax(1) == labels).double()
    counts = torch.bincount(labels, minlength=logits.shape[1]).double()
    of_each = torch.zeros_like(counts).index_add(0, labels, right)
    there = counts > 0
    return Scores(100 * float(right.mean()), 100 * float((of_each[there] / counts[there]).mean()))
