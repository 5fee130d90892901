"""Figure 3.29: how the latent weights of one channel spread over training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from rebnn_search.report.figures.base import WIDTH
from rebnn_search.report.figures.base import figure as drawn_as
from rebnn_search.report.strategies import REACTNET, REBNN, ZERO, Method, colours, methods
from rebnn_search.report.tracked import TrackedSearch
from rebnn_search.training.latent import BINS, REACH

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

MOMENTS = 8
"""Histograms after the start: one each eighth of training."""
SHOWN = 0.98
"""Least share of every histogram that the axis has room for."""
DRAWN = 32
"""Bins drawn, of several kept: a channel has a few hundred weights."""


@drawn_as(
    "latent_weights",
    "Latent weights",
    "First channel of the first binary layer, at the start and each eighth of training.",
    place=30,
)
def latent_weights(search: TrackedSearch) -> Drawing | None:
    """Histograms from the start to the end of training, ReActNet (or γ = 0, or another) beside ReBNN."""
    from matplotlib.figure import Figure

    shown = [(method, data) for method in pair(methods(search)) if (data := search.latent(method.trials[0])) is not None]
    if not shown:
        return None
    figure = Figure(figsize=(WIDTH, 3.8))
    axes = figure.subplots(1, len(shown), sharex=True, sharey=True, squeeze=False)[0]
    kept = room([data["counts"] for _, data in shown])
    edges = np.linspace(-REACH * kept / BINS, REACH * kept / BINS, DRAWN + 1)
    colour = colours(search)
    for axis, (method, data) in zip(axes, shown, strict=True):
        epochs = moments(sorted(map(float, data["counts"])))
        for height, epoch in enumerate(epochs):
            counts = np.array(data["counts"][f"{epoch:g}"], dtype=float)
            share = counts[(BINS - kept) // 2 : (BINS + kept) // 2].reshape(DRAWN, -1).sum(1) / counts.sum()
            base = len(epochs) - 1 - height
            axis.stairs(base + 6 * share, edges, baseline=base, fill=True, color=colour[method.label], alpha=0.35)
            axis.stairs(base + 6 * share, edges, baseline=base, color=colour[method.label], linewidth=0.8)
        axis.set_yticks(range(len(epochs)), [f"{epoch:g}" for epoch in reversed(epochs)])
        axis.set_title(f"{method.label} (trial #{method.trials[0].number})")
        axis.set_xlabel("latent weight / mean |w| at the start")
        axis.grid(visible=False, axis="y")
    axes[0].set_ylabel("epoch")
    return figure


def pair(found: list[Method]) -> list[Method]:
    """The method to compare ReBNN with, and ReBNN."""
    by_label = {method.label: method for method in found}
    other = next((by_label[name] for name in (REACTNET, ZERO) if name in by_label), None)
    own = by_label.get(REBNN)
    rest = [method for method in found if method is not own]
    return [method for method in (other or (rest[0] if rest else None), own) if method is not None]


def room(histograms: Sequence[Mapping[str, list[int]]]) -> int:
    """How many bins around zero hold nearly all of every histogram: a multiple of the bins drawn."""
    counts = np.array([row for histogram in histograms for row in histogram.values()], dtype=float)
    for kept in range(DRAWN, BINS, DRAWN):
        inside = counts[:, (BINS - kept) // 2 : (BINS + kept) // 2].sum(1)
        if (inside >= SHOWN * counts.sum(1)).all():
            return kept
    return BINS


def moments(epochs: list[float]) -> list[float]:
    """The start and every eighth of training, of the epochs that there are histograms of."""
    wanted = np.linspace(0, epochs[-1], MOMENTS + 1)
    return sorted({min(epochs, key=lambda epoch: abs(epoch - moment)) for moment in wanted})
