"""How often each layer's weights flip, over the epochs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rebnn_search.report.figures.base import WIDTH
from rebnn_search.report.figures.base import figure as drawn_as
from rebnn_search.report.layers import flips_by_layer
from rebnn_search.report.tracked import TrackedSearch

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

NAMED = 24
"""Layers that each have a number beside them."""


@drawn_as(
    "layers",
    "Flips by layer",
    "Share of a binary layer's weights whose sign changes in a step, mean over an epoch's steps, of the chosen trial; "
    "blank: none did.",
    place=22,
)
def layers(search: TrackedSearch) -> Drawing | None:
    """A heat map of flip ratios, layers over epochs, of the chosen trial; None where it tracked none."""
    chosen = search.chosen
    flips = None if chosen is None else flips_by_layer(search, chosen)
    if flips is None or not (flips.ratios > 0).any():
        return None
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    count = len(flips.layers)
    figure = Figure(figsize=(WIDTH * 0.75, min(6.0, 1.5 + 0.22 * count)))
    axis = figure.subplots()
    shown = np.ma.masked_less_equal(100 * flips.ratios, 0)
    norm = LogNorm(shown.min(), max(shown.max(), shown.min() * 1.01))
    edges = (flips.epochs[0] - 0.5, flips.epochs[-1] + 0.5, count + 0.5, 0.5)
    picture = axis.imshow(shown, cmap="viridis", norm=norm, aspect="auto", extent=edges, interpolation="nearest")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    if count <= NAMED:
        axis.set_yticks(range(1, count + 1))
    axis.set(xlabel="epoch", ylabel="binary layer")
    axis.grid(visible=False)
    figure.colorbar(picture, ax=axis, label="% of weights a step")
    return figure
