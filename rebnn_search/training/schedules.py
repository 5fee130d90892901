"""Learning-rate schedules: a factor for each epoch, so that nothing of them needs a checkpoint.

To add one: a subclass of `Schedule` under ``@SCHEDULES.register("name")``; its constructor's arguments are its options.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

from rebnn_search.base.registry import Registry

SCHEDULES: Registry[Schedule] = Registry("schedule")
"""Schedules by name."""


class Schedule(ABC):
    """What the learning rate is multiplied by in each epoch, after a linear warm-up.

    Args:
        warmup_epochs: Epochs over which the factor climbs to the schedule's own.

    Raises:
        ValueError: If that is negative.
    """

    def __init__(self, *, warmup_epochs: int = 0) -> None:
        if warmup_epochs < 0:
            raise ValueError(f"warmup_epochs must be >= 0, not {warmup_epochs}")
        self.warmup_epochs = warmup_epochs

    def factor(self, epoch: int, epochs: int) -> float:
        """The factor of an epoch, from 0, of ``epochs``."""
        warmup = min(1.0, (epoch + 1) / (self.warmup_epochs + 1))
        return warmup * self.shape(epoch / epochs)

    @abstractmethod
    def shape(self, done: float) -> float:
        """The factor without warm-up where a share ``done`` of training is past, from 0 to below 1."""


@SCHEDULES.register("linear")
class Linear(Schedule):
    """Falls linearly to 0: the published runs' schedule."""

    def shape(self, done: float) -> float:
        """Return 1 − done."""
        return 1 - done


@SCHEDULES.register("cosine")
class Cosine(Schedule):
    """Falls along half a cosine to 0 (Loshchilov and Hutter, "SGDR", 2017, without restarts)."""

    def shape(self, done: float) -> float:
        """Return (1 + cos(π·done))/2."""
        return (1 + math.cos(math.pi * done)) / 2


@SCHEDULES.register("constant")
class ConstantRate(Schedule):
    """Stays."""

    def shape(self, done: float) -> float:
        """Return 1."""
        return 1.0
