"""What a trainer tells of its progress, and of its end where there is none to reach."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Report:
    """The state of training at one report boundary.

    Attributes:
        step: Number of the report, from 1.
        epoch: Epochs trained, with fraction.
        iteration: Optimizer steps taken.
        metrics: ``train/loss`` (mean since the last report), ``train/lr``, ``train/images_per_second``, ``val/loss`` (mean
            cross-entropy), ``val/top1`` and ``val/top5`` (percent), ``oscillation/...`` since the last report
            (`rebnn_search.method.OscillationTracker.collect`).
    """

    step: int
    epoch: float
    iteration: int
    metrics: Mapping[str, float]


class Diverged(RuntimeError):  # noqa: N818 - the state of a trial, not a mistake
    """Training went where no further step can lead back from: a loss that is no finite number.

    Attributes:
        reason: Which loss, at which iteration.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
