"""The configurations next to the chosen one, over resampled validation samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rebnn_search.report.figures.base import STYLE, WIDTH, objective_label
from rebnn_search.report.figures.base import figure as drawn_as
from rebnn_search.report.tracked import TrackedSearch

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

RIVAL, BEHIND = "#D55E00", "#4292c6"


@drawn_as(
    "contenders",
    "The choice over resampled validation samples",
    "How far the configurations next to the chosen one are behind it, with 95 % intervals of a bootstrap over the same validation "
    "samples; beside it in how many resamples each is the best. An interval that reaches zero or beyond: not told apart.",
    place=32,
)
def contenders(search: TrackedSearch) -> Drawing | None:
    """How far each contender is behind the chosen configuration; None without predictions."""
    known = search.evaluation
    if known is None or len(known.contenders) < 2:
        return None
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH * 0.75, 0.9 + 0.3 * len(known.contenders)))
    axis = figure.subplots()
    axis.axvline(0, color="black", linewidth=0.8)
    for row, one in enumerate(known.contenders):
        colour = RIVAL if one.low <= 0 and row else BEHIND
        axis.plot([one.low, one.high], [row, row], color=colour, linewidth=2, solid_capstyle="round")
        axis.plot([one.behind], [row], marker="o", color=colour, markersize=5)
        axis.annotate(
            f"{100 * one.first:.0f} %",
            (1.01, row),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=STYLE["xtick.labelsize"],
        )
    axis.set_yticks(range(len(known.contenders)), [one.name for one in known.contenders])
    axis.invert_yaxis()
    axis.grid(visible=False, axis="y")
    axis.set_xlabel(f"behind {known.contenders[0].name}: {objective_label(search)}, {known.compared:,} samples")
    return figure
