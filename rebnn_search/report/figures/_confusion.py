"""Which classes the chosen network takes for which."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rebnn_search.report.figures.base import STYLE, WIDTH, plain
from rebnn_search.report.figures.base import figure as drawn_as
from rebnn_search.report.statistics import wilson
from rebnn_search.report.tracked import TrackedSearch

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

MOST_WRITTEN = 15
"""Classes that counts have room for."""
LONGEST = 14
"""Characters of a class's name."""


@drawn_as(
    "confusion",
    "Confusion matrix and accuracy by class",
    "Validation samples by class and what the chosen network takes them for, as counts and shaded by their share of the class; "
    "beside it the accuracy by class with Wilson's 95 % intervals.",
    place=34,
)
def confusion(search: TrackedSearch) -> Drawing | None:
    """Confusion matrix and accuracy by class; None without predictions, or of more classes than there is room for."""
    known = search.evaluation
    if known is None or known.confusion is None:
        return None
    from matplotlib.figure import Figure

    matrix = np.array(known.confusion)
    count = len(matrix)
    names = [plain(name if len(name) <= LONGEST else name[: LONGEST - 1] + "…") for name in known.classes]
    figure = Figure(figsize=(WIDTH, min(7.0, max(2.6, 1.3 + 0.27 * count))))
    left, right = figure.subplots(1, 2, width_ratios=(1.5, 1))
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    left.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    size = STYLE["xtick.labelsize"] - (count > 20) * 2
    left.set_xticks(range(count), names, rotation=90 if max(map(len, names)) > 2 else 0, fontsize=size)
    left.set_yticks(range(count), names, fontsize=size)
    left.set(xlabel="taken for", ylabel="class")
    left.grid(visible=False)
    if count <= MOST_WRITTEN:
        for row, column in zip(*matrix.nonzero(), strict=True):
            # Not black and white, which a page turns round in the dark.
            ink = "#fdfdfd" if shares[row, column] > 0.5 else "#101010"
            left.text(column, row, f"{matrix[row, column]}", ha="center", va="center", color=ink, fontsize=size)
    for place, (hits, total) in enumerate(zip(known.correct, known.total, strict=True)):
        if total:
            share = wilson(hits, total)
            right.plot([100 * share.low, 100 * share.high], [place, place], color="#4292c6", linewidth=1.6)
            right.plot([100 * share.mean], [place], marker="o", markersize=4, color="#2171b5")
    right.set_ylim(left.get_ylim())
    right.set_yticks(range(count), [""] * count)
    right.set_xlabel("accuracy (%)")
    return figure
