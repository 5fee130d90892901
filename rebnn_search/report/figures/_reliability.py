"""Whether the chosen network is right as often as it says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rebnn_search.report.figures.base import WIDTH
from rebnn_search.report.figures.base import figure as drawn_as
from rebnn_search.report.statistics import wilson
from rebnn_search.report.tracked import TrackedSearch

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing


@drawn_as(
    "reliability",
    "Reliability",
    "Accuracy over what the chosen network says of the class that it names, in bins of equal width with Wilson's 95 % intervals; on "
    "the diagonal it is calibrated. Below: how many samples a bin has.",
    place=38,
)
def reliability(search: TrackedSearch) -> Drawing | None:
    """Accuracy over confidence; None without predictions."""
    known = search.evaluation
    if known is None:
        return None
    from matplotlib.figure import Figure

    found = known.reliability
    figure = Figure(figsize=(WIDTH * 0.6, 3.9))
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.plot([0, 1], [0, 1], color="black", linewidth=0.8, linestyle=":")
    filled = [k for k, count in enumerate(found.counts) if count]
    for k in filled:
        share = wilson(round(found.accuracy[k] * found.counts[k]), found.counts[k])
        upper.plot([found.confidence[k]] * 2, [share.low, share.high], color="#4292c6", linewidth=1.4)
    upper.plot(
        [found.confidence[k] for k in filled], [found.accuracy[k] for k in filled], color="#2171b5", marker="o", markersize=4
    )
    upper.set(ylabel="accuracy", ylim=(-0.02, 1.02))
    width = 1 / len(found.counts)
    lower.bar([(k + 0.5) * width for k in filled], [found.counts[k] for k in filled], width=0.9 * width, color="#6baed6")
    lower.set(xlabel="probability of the class that it names", ylabel="samples", xlim=(0, 1.02), yscale="log")
    return figure
