"""Figure 3.30 (b): training loss by strategy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rebnn_search.base.metrics import TRAIN_LOSS
from rebnn_search.report.figures._oscillation import spread
from rebnn_search.report.figures.base import WIDTH, alone, legend, wide
from rebnn_search.report.figures.base import figure as drawn_as
from rebnn_search.report.strategies import colours, methods
from rebnn_search.report.tracked import TrackedSearch

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing


@drawn_as(
    "training_loss",
    "Training loss by strategy",
    "Mean over seeds at each strategy's best configuration; band: least to most.",
    place=10,
)
def training_loss(search: TrackedSearch) -> Drawing | None:
    """Training loss over epochs, one curve a strategy at its best configuration: mean over seeds, band from least to most."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    found = methods(search)
    if not found:
        return None
    figure = Figure(figsize=(WIDTH * 0.75, 3.4))
    axis = figure.subplots()
    colour = colours(search)
    for method in found:
        curves = [
            {round(step * trial.epochs_per_report, 9): value for step, value in search.series(trial, TRAIN_LOSS)}
            for trial in method.trials
        ]
        epochs, mean, low, high = spread(curves)
        axis.plot(epochs, mean, color=colour[method.label], label=method.label, marker=alone(epochs))
        axis.fill_between(epochs, low, high, color=colour[method.label], alpha=0.15, linewidth=0)
    if wide(axis.dataLim.y0, axis.dataLim.y1):
        axis.set_yscale("log")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_xlabel("epoch")
    axis.set_ylabel("training loss (nats)")
    legend(figure, axis.get_legend_handles_labels()[0])
    return figure
