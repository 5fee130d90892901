"""What a learning-rate schedule keeps to."""

from __future__ import annotations

import math
from collections.abc import Callable

from rebnn_search.training.schedules import Schedule

Make = Callable[[], Schedule]
LENGTHS = (1, 2, 7, 100)
"""Of trainings, in epochs."""


def has_a_factor_for_every_epoch(make: Make) -> None:
    """Finite and not negative, in a training of any length; not 0 in all of one."""
    for epochs in LENGTHS:
        factors = [make().factor(epoch, epochs) for epoch in range(epochs)]
        assert all(math.isfinite(factor) and factor >= 0 for factor in factors), f"factors {factors} in {epochs} epochs"
        assert any(factors), f"every factor is 0 in {epochs} epochs: nothing would be learned"


def is_a_function_of_the_epoch(make: Make) -> None:
    """Whatever was asked before: checkpoints keep nothing of it, and a resumed training asks in the middle."""
    for epochs in LENGTHS:
        schedule = make()
        forwards = [schedule.factor(epoch, epochs) for epoch in range(epochs)]
        backwards = [schedule.factor(epoch, epochs) for epoch in reversed(range(epochs))]
        alone = [make().factor(epoch, epochs) for epoch in range(epochs)]
        assert forwards == backwards[::-1] == alone, f"in {epochs} epochs the factor depends on what was asked before"


SCHEDULE_CHECKS = (has_a_factor_for_every_epoch, is_a_function_of_the_epoch)
"""For anything that makes a schedule: its class, where its options have defaults."""
