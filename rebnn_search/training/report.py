"""What a trainer reports of its progress, and of its end where there is none to reach."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rebnn_search.training.latent import LatentHistogram


@dataclass(frozen=True)
class Report:
    """The state of training at one report boundary.

    Attributes:
        step: Number of the report, from 1.
        epoch: Epochs trained, with fraction.
        iteration: Optimizer steps taken.
        metrics: ``train/loss`` (mean since the last report), ``train/lr``, ``train/images_per_second``, ``val/loss`` (mean
            cross-entropy), ``val/top1`` and ``val/top5`` (percent) unless all was trained on, ``oscillation/...`` since the last one
            (`rebnn_search.method.OscillationTracker.collect`).
        latent: Histogram of one channel's latent weights at each epoch's end, and at the start with the first report.
    """

    step: int
    epoch: float
    iteration: int
    metrics: Mapping[str, float]
    latent: LatentHistogram | None = None

    @classmethod
    def restore(cls, data: Mapping[str, Any]) -> Report:
        """Make a report again from what `dataclasses.asdict` gave."""
        latent = data.get("latent")
        return cls(**{**data, "latent": None if latent is None else LatentHistogram(**latent)})


class Stopped(Exception):  # noqa: N818 - no error: the user wished it, or the time is over
    """Training ends early, where it was asked to, with a checkpoint."""


class Diverged(RuntimeError):  # noqa: N818 - the state of a trial, not a mistake
    """Training went where no further step can lead back from: a loss, a parameter or a batch statistic that is no finite number.

    Attributes:
        reason: Which, at which iteration.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
