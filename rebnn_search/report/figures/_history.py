"""How the best so far came down, and what drawing at random would have come to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rebnn_search.report.best_so_far import best_so_far
from rebnn_search.report.figures.base import WIDTH, objective_label, wide
from rebnn_search.report.figures.base import figure as drawn_as
from rebnn_search.report.tracked import TrackedSearch

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

EXPECTED, BEST = "#E69F00", "#2171b5"


@drawn_as(
    "history",
    "Optimisation history",
    "Objective of each configuration (crosses: pruned, or short of a seed, as far as they came) and the best so far; dotted, with "
    "the central 95 %: the best of so many of them in a random order, which reaches the best at the end whatever more would bring.",
    place=30,
)
def history(search: TrackedSearch) -> Drawing | None:
    """Values, best so far and the expected best of a random order."""
    found = best_so_far(search)
    if not any(found.whole):
        return None
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(WIDTH * 0.75, 3.4))
    axis = figure.subplots()
    count = len(found.values)
    places, whole = np.arange(1, count + 1), np.array(found.whole)
    axis.scatter(places[whole], found.values[whole], s=14, color="#8c8c8c", linewidths=0, label="trained to its end")
    if not whole.all():
        axis.scatter(places[~whole], found.values[~whole], s=16, marker="x", color="#8c8c8c", linewidths=0.8, label="pruned")
    draws = found.places()
    expected = [found.expected(draw) for draw in draws]
    axis.fill_between(
        draws, [one.low for one in expected], [one.high for one in expected], color=EXPECTED, alpha=0.2, linewidth=0
    )
    axis.plot(draws, [one.mean for one in expected], color=EXPECTED, linestyle=":", label="random order")
    axis.step(places, found.best, where="post", color=BEST, label="best so far")
    if wide(float(found.values.min()), float(found.values.max())):
        axis.set_yscale("log")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set(xlabel="configurations, in the order of their numbers", ylabel=objective_label(search))
    figure.legend(loc="outside right upper")
    return figure
