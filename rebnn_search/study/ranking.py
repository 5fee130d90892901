"""Who is best: the one order of trials and configurations that ledger, leaderboard, report and estimators follow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Protocol

from rebnn_search.study.front import front_of

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from rebnn_search.study.search import Search

STATES = ("COMPLETE", "PRUNED", "RUNNING", "FAIL")
"""The order of states: a trial not trained to its end never stands above one that was."""


class Judge(Protocol):
    """What trials are judged by: `rebnn_search.study.spec.Objective`, or an `Ordering` alone."""

    def sort_key(self, value: float | None) -> float:
        """A number that is the smaller, the better the value; no value is worse than any."""


@dataclass(frozen=True)
class Ordering:
    """Which way is better, ``minimize`` or ``maximize``: the one place that turns a value's sign."""

    direction: str

    def sort_key(self, value: float | None) -> float:
        """See `Judge.sort_key`."""
        if value is None:
            return float("inf")
        return value if self.direction == "minimize" else -value


@dataclass(frozen=True)
class Standing:
    """What a trial is ranked by.

    Attributes:
        number: Of the trial.
        configuration: Of its configuration; trials of one differ in their seed alone.
        state: ``COMPLETE``, ``PRUNED``, ``RUNNING`` or ``FAIL``; any other comes last.
        value: The objective at its last report, of several the first; None where there was none.
        infeasible: Whether it was trained to its end and broke a constraint.
        values: All objectives, turned so that less is better, of a search with several; empty where one is missing.
    """

    number: int
    configuration: int
    state: str
    value: float | None
    infeasible: bool = False
    values: tuple[float, ...] = ()


def standing(search: Search, number: int, state: str, values: Mapping[str, float]) -> Standing:
    """What a trial is ranked by, given its values by objective."""
    goals = search.goals
    several = len(goals) > 1 and all(goal.name in values for goal in goals)
    return Standing(
        number,
        search.configuration_of(number),
        state,
        values.get(goals[0].name),
        state == STATES[0] and search.broken(values) is not None,
        tuple(goal.sort_key(values[goal.name]) for goal in goals) if several else (),
    )


def standing_of(search: Search, trial: FrozenTrial, summary: Mapping[str, float]) -> Standing:
    """What a trial of the record is ranked by, given its summary."""
    told: dict[str, float] = {}
    if trial.state.name == STATES[0] and trial.values is not None:
        told = dict(zip((goal.name for goal in search.goals), trial.values, strict=True))
    return standing(search, trial.number, trial.state.name, {**summary, **told})


def rank(standings: Iterable[Standing], objective: Judge, seeds: int = 1) -> list[list[int]]:
    """Return the trials' numbers by configuration, the best configuration first.

    Configurations trained to their end by all their seeds come first, then those that lost some seeds to the pruner or a failure,
    then those of which a seed broke a constraint, each by the mean objective of the trials trained to their end; then those without
    such a trial, by their best trial's state and objective. Of several objectives those on the Pareto front come first of their kind,
    and the order is by the first objective. Of equal ones the earlier comes first. Within a configuration likewise.

    Args:
        standings: The trials, in any order.
        objective: What they are judged by, first.
        seeds: How many trials a configuration should have.
    """
    configurations = _by_configuration(standings, objective)
    front = _front(configurations, seeds)

    def key(item: tuple[int, list[Standing]]) -> tuple[int, bool, bool, bool, float, int]:
        configuration, group = item
        complete = _complete(group)
        values = [s.value for s in complete if s.value is not None]
        if not values:
            state, value, number = _trial_key(group[0], objective)
            return state, True, True, True, value, number
        infeasible = any(s.infeasible for s in complete)
        mean = objective.sort_key(fmean(values))
        return 0, infeasible, len(values) < seeds, configuration not in front, mean, group[0].number

    return [[one.number for one in group] for _, group in sorted(configurations.items(), key=key)]


def best_of(standings: Iterable[Standing], objective: Judge, seeds: int = 1) -> list[int]:
    """The numbers of the trials of the best configuration: `rank`'s first, if all of it that was trained to its end kept to the
    constraints; else, or without such a trial, none. Arguments as of `rank`.
    """
    complete = [one for one in standings if one.state == STATES[0]]
    first = next(iter(rank(complete, objective, seeds)), [])
    broken = {one.number for one in complete if one.infeasible}
    return sorted(first) if broken.isdisjoint(first) else []


def pareto_front(standings: Iterable[Standing], objective: Judge, seeds: int = 1) -> set[int]:
    """The numbers of the trials whose configurations are on the Pareto front: arguments as of `rank`.

    Only configurations count that were trained to their end and broke no constraint, by the means of their objectives over their
    seeds; those that lost some seeds only where there are no others. Empty where there is one objective.
    """
    configurations = _by_configuration(standings, objective)
    return {one.number for configuration in _front(configurations, seeds) for one in _complete(configurations[configuration])}


def _by_configuration(standings: Iterable[Standing], objective: Judge) -> dict[int, list[Standing]]:
    configurations: dict[int, list[Standing]] = {}
    for one in sorted(standings, key=lambda one: _trial_key(one, objective)):
        configurations.setdefault(one.configuration, []).append(one)
    return configurations


def _front(configurations: Mapping[int, list[Standing]], seeds: int) -> set[int]:
    complete = {configuration: _complete(group) for configuration, group in configurations.items()}
    sound = {c: group for c, group in complete.items() if group and all(one.values and not one.infeasible for one in group)}
    whole = {c: group for c, group in sound.items() if len(group) == seeds} or sound
    points = [tuple(map(fmean, zip(*(one.values for one in group), strict=True))) for group in whole.values()]
    numbers = list(whole)
    return {numbers[index] for index in front_of(points)}


def _complete(group: Iterable[Standing]) -> list[Standing]:
    return [one for one in group if one.state == STATES[0]]


def _trial_key(standing: Standing, objective: Judge) -> tuple[int, float, int]:
    place = STATES.index(standing.state) if standing.state in STATES else len(STATES)
    return place, objective.sort_key(standing.value), standing.number
