"""How well the objective early in training told how trials end: what a pruner, or one's own eye on the curves, goes by."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from rebnn_search.report.statistics import Interval, rank_correlation
from rebnn_search.report.tracked import TrackedSearch

FEWEST = 8
"""Configurations below which an interval of ρ reaches from one end to the other."""
FEWEST_REPORTS = 4
MOST_LOOKS = 40
"""At which the correlation is computed."""


@dataclass(frozen=True)
class EarlyLook:
    """What the objective told after a share of the training.

    Attributes:
        share: Of the training, above 0 and below 1.
        rho: Spearman's rank correlation of the objective there with that at the end.
    """

    share: float
    rho: Interval


@dataclass(frozen=True)
class EarlyLooks:
    """What early looks told in a search.

    Attributes:
        configurations: How many were trained to their end, which alone can be compared; of several seeds their mean.
        selected: Whether others were pruned, and not for a constraint: those that came to their end then looked good early, and ρ is
            less than of all.
        looks: In the order of the training; none where there is nothing to compute.
    """

    configurations: int
    selected: bool
    looks: list[EarlyLook]

    def at(self, share: float) -> EarlyLook:
        """The look next to a share of the training."""
        return min(self.looks, key=lambda look: abs(look.share - share))


def early_looks(search: TrackedSearch) -> EarlyLooks:
    """Of the configurations trained to their end. Trainings of different lengths are compared after equal shares of their reports."""
    selected = any(trial.state == "PRUNED" and search.infeasible(trial) is None for trial in search.trials)
    of: dict[int, list[list[float]]] = {}
    for trial in search.complete:
        curve = [value for _, value in search.series(trial, search.objective)]
        if curve and np.isfinite(curve).all():
            of.setdefault(trial.configuration, []).append(curve)
    shortest = min((len(curve) for curves in of.values() for curve in curves), default=0)
    if len(of) < FEWEST or shortest < FEWEST_REPORTS:
        return EarlyLooks(len(of), selected, [])
    ends = [_mean_after(curves, 1.0) for curves in of.values()]
    looks = []
    for report in sorted({round(place) for place in np.linspace(1, shortest - 1, min(shortest - 1, MOST_LOOKS))}):
        share = report / shortest
        rho = rank_correlation([_mean_after(curves, share) for curves in of.values()], ends)
        if rho is not None:
            looks.append(EarlyLook(share, rho))
    return EarlyLooks(len(of), selected, looks)


def _mean_after(curves: list[list[float]], share: float) -> float:
    return fmean(curve[math.ceil(share * len(curve) - 1e-9) - 1] for curve in curves)
