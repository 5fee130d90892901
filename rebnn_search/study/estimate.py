"""What several seeds of one recipe say together: the mean with its interval, and the seed that stands for all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from scipy import special  # scipy.stats takes a second to import

CONFIDENCE = 0.95
Training = TypeVar("Training")


SPREAD = 1e-9
"""Values that are nearer to each other, measured by the largest or by 1, differ by rounding."""


@dataclass(frozen=True)
class Estimate:
    """The mean of ``n`` values and half the width of its 95 % interval (Student's t).

    No interval for one value, or for equal ones: accuracies are counts, and that a few agree does not say how far others would lie
    apart.
    """

    mean: float
    half_width: float | None
    n: int

    def text(self, form: str) -> str:
        """As in ``96.94 ± 0.51``."""
        return format(self.mean, form) if self.half_width is None else f"{self.mean:{form}} ± {self.half_width:{form}}"


def has_spread(values: Sequence[float]) -> bool:
    """Whether values differ by more than rounding, so that an interval or a test can be made of them."""
    return len(values) > 1 and float(np.ptp(values)) > SPREAD * max(1.0, float(np.abs(values).max()))


def estimate(values: Sequence[float]) -> Estimate | None:
    """The estimate from the values of some seeds; None where there are none."""
    if not values:
        return None
    n = len(values)
    half = None
    if has_spread(values):
        half = float(special.stdtrit(n - 1, (1 + CONFIDENCE) / 2) * np.std(values, ddof=1) / np.sqrt(n))
    return Estimate(float(np.mean(values)), half, n)


def median_training(trainings: Sequence[Training], loss: Callable[[Training], float]) -> Training | None:
    """The training of median loss, the lower of two, of equal ones the earlier; None where there are none.

    Args:
        trainings: Of some seeds.
        loss: Of one, on what it was trained on: the test split chooses nothing.
    """
    ranked = sorted(trainings, key=loss)
    return ranked[(len(ranked) - 1) // 2] if ranked else None
