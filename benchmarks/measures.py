"""From runs to numbers: regret, interquartile means with bootstrap intervals, reports to a level."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from banks import Bank, Floats

RESAMPLES = 200
FEWEST = 4
"""Seeds; of fewer there is no interval."""
CLOSE = 0.01
"""Within this share of the best's objective a configuration is as good as it."""


def scale(bank: Bank) -> tuple[float, float]:
    """The least objective of any report, and the median of those at the ends: regret 0 and regret 1."""
    return float(np.nanmin(bank.values)), float(np.median(bank.final))


def regret(values: Floats, bank: Bank) -> Floats:
    """Normalised regret of objectives: 0 for the bank's best report, 1 for the median end and anything worse."""
    best, usual = scale(bank)
    return np.clip((values - best) / (usual - best), 0.0, 1.0)


def interquartile_mean(values: Floats) -> Floats:
    """The mean of the middle half along the first axis (n, ...); of fewer than four values the mean."""
    n = len(values)
    cut = n // 4
    found: Floats = np.sort(values, axis=0)[cut : n - cut].mean(axis=0)
    return found


@dataclass(frozen=True)
class Interval:
    """A number with its 95 % bootstrap interval; ``None`` where a level was not reached, or of too few seeds."""

    value: float | None
    low: float | None
    high: float | None

    def text(self, form: str = ".0f") -> str:
        """As in ``172 [160, 190]``."""
        parts = ["-" if one is None else format(one, form) for one in (self.value, self.low, self.high)]
        return f"{parts[0]} [{parts[1]}, {parts[2]}]"


def first_at(curve: Floats, level: float) -> float | None:
    """After how many reports a curve (budget,) is at a level or below; None if never."""
    there = curve <= level
    return float(np.argmax(there)) + 1 if there.any() else None


def bootstrap(
    groups: Sequence[Floats], statistic: Callable[[Floats], float | None], seed: int = 0, resamples: int = RESAMPLES
) -> Interval:
    """A statistic of all groups' runs together, and its interval over resampled seeds.

    Args:
        groups: For each task (seeds, ...) values; the same seeds are drawn for all tasks.
        statistic: Of (runs, ...) values; None counts as larger than any number.
        seed: Of the resampling.
        resamples: How many.
    """
    rng = np.random.default_rng(seed)
    least = min(len(group) for group in groups)
    if least < FEWEST:
        return Interval(statistic(np.concatenate(groups)), None, None)
    found = []
    for _ in range(resamples):
        drawn = rng.integers(least, size=least)
        one = statistic(np.concatenate([group[drawn] for group in groups]))
        found.append(np.inf if one is None else one)
    low, high = (float(x) for x in np.quantile(found, [0.025, 0.975], method="nearest"))
    return Interval(statistic(np.concatenate(groups)), *(None if np.isinf(x) else x for x in (low, high)))
