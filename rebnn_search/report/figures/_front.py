"""The Pareto front of several objectives."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from rebnn_search.report.figures.base import STYLE, WIDTH, wide
from rebnn_search.report.figures.base import figure as drawn_as
from rebnn_search.report.tracked import TrackedSearch, TrackedTrial
from rebnn_search.study.objectives import Goal

if TYPE_CHECKING:
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure as Drawing

ON, OFF = "#D55E00", "#8c8c8c"
MOST_NAMED = 20
"""Points of the front that have their trial's number beside them."""

DOMINATED, INFEASIBLE, ON_FRONT = "dominated", "infeasible", "on the front"


@dataclass(frozen=True)
class _Point:
    """A configuration: the means over its seeds."""

    number: int
    x: float
    y: float
    group: str


@drawn_as(
    "front",
    "Pareto front",
    "The first objective over the second, of trials trained to their end; numbered: on the front, crosses: beyond a constraint. "
    "With more than two objectives, points of the front may seem dominated here.",
    place=5,
)
def front(search: TrackedSearch) -> Drawing | None:
    """The first objective over the second, the front as a line."""
    goals = search.search.goals
    if len(goals) < 2:
        return None
    first, second = goals[:2]
    points = _points(search, first, second)
    if not points:
        return None
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH * 0.75, 3.6))
    axis = figure.subplots()
    for name, marker in ((DOMINATED, "o"), (INFEASIBLE, "x")):
        if found := [(point.x, point.y) for point in points if point.group == name]:
            axis.scatter(
                [x for x, _ in found], [y for _, y in found], s=18, marker=marker, color=OFF, linewidths=1.0, label=name
            )
    on = sorted((point for point in points if point.group == ON_FRONT), key=lambda point: (point.x, point.y))
    if on:
        xs, ys = [point.x for point in on], [point.y for point in on]
        if len(goals) == 2:
            axis.step(xs, ys, where="post" if second.minimize else "pre", color=ON, linewidth=1.0, alpha=0.6)
        axis.scatter(xs, ys, s=30, color=ON, zorder=3, label=ON_FRONT)
        # Where no point can be: on the side that is better. Neighbours' names stand at two distances.
        across, up = (-1 if goal.minimize else 1 for goal in (second, first))
        for index, point in enumerate(on[:MOST_NAMED]):
            axis.annotate(
                f"#{point.number}", (point.x, point.y), xytext=(3 * across, up * (3 + 9 * (index % 2))), textcoords="offset points",
                ha="right" if across < 0 else "left", va="top" if up < 0 else "bottom", fontsize=STYLE["legend.fontsize"],
            )  # fmt: skip
    if wide(min(point.x for point in points), max(point.x for point in points)):
        axis.set_xscale("log")
        _label(axis.xaxis)
    if wide(min(point.y for point in points), max(point.y for point in points)):
        axis.set_yscale("log")
        _label(axis.yaxis)
    axis.set_xlabel(f"{second.heading}, {_better(second.minimize)} is better")
    axis.set_ylabel(f"{first.heading}, {_better(first.minimize)} is better")
    axis.margins(0.12)
    figure.legend(loc="outside right upper")
    return figure


def _points(search: TrackedSearch, first: Goal, second: Goal) -> list[_Point]:
    configurations: dict[int, list[TrackedTrial]] = {}
    for trial in search.complete:
        if {first.name, second.name} <= search.values(trial).keys():
            configurations.setdefault(trial.configuration, []).append(trial)
    points = []
    for trials in configurations.values():
        values = [search.values(trial) for trial in trials]
        broken = any(search.infeasible(trial) is not None for trial in trials)
        group = INFEASIBLE if broken else ON_FRONT if trials[0].number in search.front else DOMINATED
        x, y = (fmean(one[goal.name] for one in values) for goal in (second, first))
        points.append(_Point(trials[0].number, x, y, group))
    return points


def _label(axis: Axis) -> None:
    """Label a logarithmic axis at 1, 2 and 5, as plain numbers: powers of ten would overlap."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.set_minor_formatter(NullFormatter())


def _better(minimize: bool) -> str:
    return "less" if minimize else "more"
