"""A family of γ-strategies with Eq. 3.150 and the largest gradient alone among its members."""

from __future__ import annotations

import math
from typing import Literal

from torch import Tensor

from rebnn_search.method.gamma.base import GAMMA, GammaStrategy

Course = Literal["constant", "rise", "fall"]

FARTHEST = math.log(1000.0)
"""Most that feedback multiplies or divides γ by, in logarithm."""


@GAMMA.register("flip_rule")
class FlipRule(GammaStrategy):
    """γ^{t+1} = factor · k · s(p) · f̄^exponent · max_j |G_j^t| by channel: Eq. 3.150 with what else one might follow of the flips.

    With f^t the share of the channel's signs that step t flipped:

    - f̄ is f's exponential average: m^t = average·m^{t−1} + (1 − average)·f^t, m^{−1} = 0, divided by 1 − average^{t+1}.
    - k, 1 at first, follows a target flip share: after each step ln k grows by feedback·(f̄/target − 1), this within [−1, 1]; k stays
      within [1/1000, 1000]. A channel that flips more than the target is held back ever more.
    - s(p) is 1, p (``rise``) or 1 − p (``fall``), p the share of training that is done at the epoch's start.

    With the defaults it is Eq. 3.150 to the bit, and with ``exponent: 0`` max_j |G_j|. γ^0 = 0.

    Args:
        factor: On the whole.
        exponent: Of the flip share; 0^0 is 1.
        average: Share of the average before in the new one; 0 takes f as it is.
        target: Flip share of a step to come to; 0 follows none.
        feedback: How fast k follows; without effect where there is no target.
        schedule: Course over training.

    Raises:
        ValueError: If factor, exponent, target or feedback is negative or not finite, average is not within [0, 1), or target is
            above 1.
    """

    def __init__(
        self,
        factor: float = 1.0,
        exponent: float = 1.0,
        average: float = 0.0,
        target: float = 0.0,
        feedback: float = 0.01,
        schedule: Course = "constant",
    ) -> None:
        for name, value in (("factor", factor), ("exponent", exponent), ("target", target), ("feedback", feedback)):
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} must be finite and >= 0, not {value}")
        if not 0 <= average < 1:
            raise ValueError(f"average must be within [0, 1), not {average}")
        if target > 1:
            raise ValueError(f"target must be at most 1, a share of the signs, not {target}")
        self.factor, self.exponent, self.average = factor, exponent, average
        self.target, self.feedback, self.schedule = target, feedback, schedule
        self._course = 0.0 if schedule == "rise" else 1.0

    def set_progress(self, fraction: float) -> None:
        """Set s(p)."""
        self._course = {"constant": 1.0, "rise": fraction, "fall": 1 - fraction}[self.schedule]

    def memory(self, channels: Tensor) -> Tensor | None:
        """Return m and ln k, (2, C_out), where either is followed."""
        return channels.new_zeros(2, *channels.shape) if self.average or self.target else None

    def update(self, flip_fraction: Tensor, max_grad: Tensor, iteration: int, memory: Tensor | None = None) -> Tensor:
        """Return γ^{t+1}; m and ln k are changed in place.

        Raises:
            ValueError: If average or target is set and there is no memory to follow it in.
        """
        flips, gamma = flip_fraction, max_grad
        if memory is None and (self.average or self.target):
            raise ValueError("average and target need the memory that `memory` begins")
        if memory is not None:
            mean, log_k = memory
            mean.mul_(self.average).add_(flips, alpha=1 - self.average)
            flips = mean / (1 - self.average ** (iteration + 1))
            if self.target:
                excess = (flips / self.target - 1).clamp(-1, 1)
                log_k.add_(excess, alpha=self.feedback).clamp_(-FARTHEST, FARTHEST)
                gamma = gamma * log_k.exp()
        return (flips if self.exponent == 1 else flips.pow(self.exponent)) * gamma * (self.factor * self._course)
