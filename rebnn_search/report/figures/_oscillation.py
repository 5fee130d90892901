"""Figure 3.30 (a): how often weights flip and flip back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from rebnn_search.base.metrics import oscillation_name
from rebnn_search.report.figures.base import WIDTH, alone
from rebnn_search.report.figures.base import figure as drawn_as
from rebnn_search.report.layers import binary_layers_of, by_epoch, layer_number
from rebnn_search.report.statistics import Array
from rebnn_search.report.strategies import REACTNET, REBNN, RECU, ZERO, Method, colours, methods
from rebnn_search.report.tracked import TrackedSearch

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

RATIOS = {"sequential_oscillation_ratio": "sequential oscillation\n(% of weights)", "flip_ratio": "sign flips\n(% of weights)"}


@drawn_as(
    "oscillation",
    "Weight oscillation",
    "Share of a layer's weights that flip at two steps running (above) and at all (below), mean over an epoch's steps.",
    place=20,
)
def oscillation(search: TrackedSearch) -> Drawing | None:
    """Sequential oscillation above, plain flips below, of the first, middle and last binary layer, by epoch."""
    from matplotlib.figure import Figure

    found = _shown(methods(search))
    layers = binary_layers_of(found[0].trials[0]) if found else []
    if not layers:
        return None
    picked = list(dict.fromkeys((layers[0], layers[len(layers) // 2 - (len(layers) % 2 == 0)], layers[-1])))
    figure = Figure(figsize=(WIDTH, 4.2))
    axes = figure.subplots(len(RATIOS), len(picked), sharex=True, sharey="row", squeeze=False)
    colour = colours(search)
    for row, (ratio, name) in zip(axes, RATIOS.items(), strict=True):
        least = []
        for axis, layer in zip(row, picked, strict=True):
            for method in found:
                curves = [by_epoch(search, trial, oscillation_name(f"{layer}/{ratio}")) for trial in method.trials]
                epochs, mean, low, high = spread(curves)
                axis.plot(epochs, 100 * mean, color=colour[method.label], label=method.label, marker=alone(epochs))
                axis.fill_between(epochs, 100 * low, 100 * high, color=colour[method.label], alpha=0.2, linewidth=0)
                least += [value for value in 100 * mean if value > 0]
            axis.xaxis.get_major_locator().set_params(integer=True)
        if least:
            for axis in row:
                axis.set_yscale("log")
            row[0].set_ylim(bottom=min(least) / 1.5)  # epochs without a single oscillation lie below
        row[0].set_ylabel(name)
    for axis, layer in zip(axes[0], picked, strict=True):
        axis.set_title(f"binary layer {layer_number(layer) + 1} of {len(layers)}")
    for axis in axes[-1]:
        axis.set_xlabel("epoch")
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=len(found))
    return figure


def _shown(found: list[Method]) -> list[Method]:
    """ReActNet, ReCU and ReBNN; where a search has neither baseline, γ = 0 beside ReBNN; else what there is."""
    by_label = {method.label: method for method in found}
    names = [name for name in (REACTNET, RECU, REBNN) if name in by_label]
    if names in ([], [REBNN]):
        names = [name for name in (ZERO, REBNN) if name in by_label]
    return [by_label[name] for name in names] or found[:3]


def spread(curves: Sequence[dict[float, float]]) -> tuple[Array, Array, Array, Array]:
    """Where all curves have values: the places, and there mean, lowest and highest."""
    places = sorted(set.intersection(*(set(curve) for curve in curves)))
    values = np.array([[curve[place] for place in places] for curve in curves])
    return np.array(places), values.mean(0), values.min(0), values.max(0)
