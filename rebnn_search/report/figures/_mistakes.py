"""The pictures, or rows, that the chosen network is most wrong about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rebnn_search.report.figures.base import STYLE, WIDTH, plain
from rebnn_search.report.figures.base import figure as drawn_as
from rebnn_search.report.tracked import TrackedSearch

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

ACROSS = 6


@drawn_as(
    "mistakes",
    "What it is most wrong about",
    "Validation samples taken for another class whose own class is given the least probability: own class, what it is taken for "
    "and with which probability.",
    place=36,
)
def mistakes(search: TrackedSearch) -> Drawing | None:
    """The most mistaken pictures; None without predictions, of tables (which the page has as rows), or where there is no mistake."""
    known = search.evaluation
    found = [] if known is None else [one for one in known.mistakes if one.shape]
    if known is None or not found:
        return None
    from matplotlib.figure import Figure

    rows = -(-len(found) // ACROSS)
    figure = Figure(figsize=(WIDTH, 1.6 * rows))
    axes = figure.subplots(rows, ACROSS, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, one in zip(axes.flat, found, strict=False):
        picture = one.picture()
        axis.imshow(
            picture if picture.shape[2] == 3 else picture[:, :, 0], cmap="gray", vmin=0, vmax=255, interpolation="nearest"
        )
        text = plain(
            f"{_short(known.classes[one.label])} as\n{_short(known.classes[one.predicted])}, {100 * one.probability:.0f} %"
        )
        axis.set_title(text, fontsize=STYLE["xtick.labelsize"])
    return figure


def _short(name: str) -> str:
    return name if len(name) <= 12 else name[:11] + "…"
