"""How important each hyperparameter was, with how sure that is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rebnn_search.report.figures.base import STYLE, WIDTH
from rebnn_search.report.figures.base import figure as drawn_as
from rebnn_search.report.importance import importances
from rebnn_search.report.tracked import TrackedSearch

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing


@drawn_as(
    "importance",
    "Hyperparameter importance",
    "fANOVA: share of the differences between the configurations trained to their end that each hyperparameter explains; mean and "
    "central 95 % over resampled configurations.",
    place=60,
)
def importance(search: TrackedSearch) -> Drawing | None:
    """How much of the objective's variance each hyperparameter explains; None where there are too few configurations."""
    found = importances(search)
    if not found.parameters:
        return None
    from matplotlib.figure import Figure

    count = len(found.parameters)
    figure = Figure(figsize=(WIDTH * 0.75, 0.9 + 0.35 * count))
    axis = figure.subplots()
    rows = range(count)
    axis.barh(rows, [one.share for one in found.parameters], color="#6baed6", height=0.62)
    for row, one in zip(rows, found.parameters, strict=True):
        axis.plot([one.low, one.high], [row, row], color="black", linewidth=1.2)
        axis.annotate(
            f"{one.share:.2f}", (one.high, row), xytext=(4, 0), textcoords="offset points", va="center",
            fontsize=STYLE["xtick.labelsize"],
        )  # fmt: skip
    axis.set_yticks(rows, [one.name for one in found.parameters])
    axis.invert_yaxis()
    axis.grid(visible=False, axis="y")
    axis.set_xlim(0, 1.08 * max(one.high for one in found.parameters) + 0.05)
    axis.set_xlabel(f"share of the objective's variance explained ({found.configurations} configurations)")
    return figure
