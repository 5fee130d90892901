"""Constraints: what a trial must keep to in order to be named best, written as ``bytes: <= 100 kB``."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from rebnn_search.study.objectives import BaseObjective, Goal

WRITTEN = re.compile(r"(?P<sign><=|>=)\s*(?P<number>[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?)\s*(?P<unit>[^\d\s]*)")


@dataclass(frozen=True)
class Limit:
    """A bound that an objective of a trial must keep to.

    Attributes:
        goal: The objective.
        at_most: Whether the bound is the largest value allowed; else the smallest.
        bound: In the objective's own unit.
        text: As a file writes it, ``<= 100 kB``.
    """

    goal: Goal
    at_most: bool
    bound: float
    text: str

    @property
    def name(self) -> str:
        """Of the objective."""
        return self.goal.name

    def excess(self, value: float) -> float:
        """How far a value is beyond the bound, as a share of it so that limits of different units compare; not above 0 within."""
        beyond = value - self.bound if self.at_most else self.bound - value
        return beyond / (abs(self.bound) or 1.0)

    def broken_by(self, value: float) -> str | None:
        """What to say of a value beyond the bound; None of one within."""
        return f"{self.name} {self.goal.text(value)}, not {self.text}" if self.excess(value) > 0 else None

    def __str__(self) -> str:
        return f"{self.name} {self.text}"


def parse_limit(goal: Goal, objective: BaseObjective, written: object) -> Limit:
    """Read a constraint.

    Args:
        goal: The objective.
        objective: Its part, which knows the units.
        written: ``<= NUMBER UNIT`` or ``>= NUMBER UNIT``.

    Raises:
        ValueError: If it is not of that form, the unit is none of the objective's, or no value could keep to it or all do.
    """
    allowed = f'expected "<= NUMBER" or ">= NUMBER" with {_units(objective)}'
    found = WRITTEN.fullmatch(written.strip()) if isinstance(written, str) else None
    if found is None:
        raise ValueError(allowed)
    unit, number = found["unit"], float(found["number"])
    if unit not in objective.units:
        raise ValueError(f"{goal.name} has no unit {unit!r}; {allowed}" if unit else f"needs a unit; {allowed}")
    bound = number * objective.units[unit]
    at_most = found["sign"] == "<="
    low, high = objective.least, objective.most
    if not math.isfinite(bound) or not low <= bound <= high:
        share = (
            f" (a number alone is a share: write {number:g} % or {number / 100:g})"
            if unit == "" and "%" in objective.units
            else ""
        )
        raise ValueError(f"{goal.name} lies between {low:g} and {high:g}{share}; {allowed}")
    return Limit(goal, at_most, bound, f"{found['sign']} {number:.12g}{f' {unit}' if unit else ''}")


def _units(objective: BaseObjective) -> str:
    named = [unit for unit in objective.units if unit]
    if not named:
        return "no unit"
    least = f"one of {', '.join(named)}"
    return f"{least}, or none" if "" in objective.units else least
