"""Who is best: the one order of trials and configurations that ledger, leaderboard, report and estimators follow."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean
from typing import Protocol

STATES = ("COMPLETE", "PRUNED", "RUNNING", "FAIL")
"""The order of states: a trial not trained to its end never stands above one that was."""


class Judge(Protocol):
    """What trials are judged by: `rebnn_search.study.spec.Objective`, or a `Direction` alone."""

    def sort_key(self, value: float | None) -> float:
        """A number that is the smaller, the better the value; no value is worse than any."""


@dataclass(frozen=True)
class Direction:
    """Whether less of a value is better: the one place that turns its sign."""

    minimize: bool

    def sort_key(self, value: float | None) -> float:
        """See `Judge.sort_key`."""
        if value is None:
            return float("inf")
        return value if self.minimize else -value


@dataclass(frozen=True)
class Standing:
    """What a trial is ranked by.

    Attributes:
        number: Of the trial.
        configuration: Of its configuration; trials of one differ in their seed alone.
        state: ``COMPLETE``, ``PRUNED``, ``RUNNING`` or ``FAIL``; any other comes last.
        value: The objective at its last report; None where there was none.
    """

    number: int
    configuration: int
    state: str
    value: float | None


def rank(standings: Iterable[Standing], objective: Judge, seeds: int = 1) -> list[list[int]]:
    """Return the trials' numbers by configuration, the best configuration first.

    Configurations trained to their end by all their seeds come first, then those that lost some seeds to the pruner or a failure,
    each by the mean objective of the trials trained to their end; then those without such a trial, by their best trial's state and
    objective. Of equal ones the earlier comes first. Within a configuration likewise.

    Args:
        standings: The trials, in any order.
        objective: What they are judged by.
        seeds: How many trials a configuration should have.
    """
    configurations: dict[int, list[Standing]] = {}
    for standing in sorted(standings, key=lambda standing: _trial_key(standing, objective)):
        configurations.setdefault(standing.configuration, []).append(standing)

    def key(group: list[Standing]) -> tuple[int, bool, float, int]:
        values = [s.value for s in group if s.state == STATES[0] and s.value is not None]
        if not values:
            state, value, number = _trial_key(group[0], objective)
            return state, True, value, number
        return 0, len(values) < seeds, objective.sort_key(fmean(values)), group[0].number

    return [[standing.number for standing in group] for group in sorted(configurations.values(), key=key)]


def _trial_key(standing: Standing, objective: Judge) -> tuple[int, float, int]:
    place = STATES.index(standing.state) if standing.state in STATES else len(STATES)
    return place, objective.sort_key(standing.value), standing.number
