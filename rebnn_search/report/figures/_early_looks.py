"""How well the objective early in training told how trials end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rebnn_search.report.early_looks import early_looks
from rebnn_search.report.figures.base import WIDTH
from rebnn_search.report.figures.base import figure as drawn_as
from rebnn_search.report.tracked import TrackedSearch

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

COLOUR = "#2171b5"


@drawn_as(
    "early_looks",
    "What early looks told",
    "Rank correlation of the objective after a share of the training with that at its end, over the configurations trained to it, "
    "with its 95 % interval: 1 is the same order, 0 chance.",
    place=52,
)
def drawn_early_looks(search: TrackedSearch) -> Drawing | None:
    """Spearman's ρ with its interval over the share of the training."""
    found = early_looks(search)
    if not found.looks:
        return None
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    figure = Figure(figsize=(WIDTH * 0.75, 2.8))
    axis = figure.subplots()
    shares = [look.share for look in found.looks]
    means, lows, highs = ([getattr(look.rho, end) for look in found.looks] for end in ("mean", "low", "high"))
    axis.fill_between(shares, lows, highs, color=COLOUR, alpha=0.2, linewidth=0)
    axis.plot(shares, means, color=COLOUR, marker="o", markersize=3)
    axis.axhline(0, color="#8c8c8c", linewidth=0.8)
    axis.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axis.set(
        xlabel="share of the training",
        ylabel="rank correlation with the end",
        xlim=(0, 1),
        ylim=(min(-0.2, *lows) - 0.02, 1.02),
    )
    return figure
