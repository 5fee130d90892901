"""The picture beside a comparison's table: regret over what was trained, a line for each method."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from banks import Floats
from matplotlib.figure import Figure
from measures import RESAMPLES, interquartile_mean

FEWEST_SEEDS = 8
"""Of fewer a line tells little, and its band nothing."""
LINES = ("-", "--", ":", "-.")
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000")
"""Okabe and Ito's, which common colour blindness keeps apart."""
DEFAULT = "ours"


def draw(curves: Mapping[str, Floats], workers: int, path: Path) -> None:
    """Draw interquartile means over runs, with 95 % bootstrap bands for random search and the default.

    Args:
        curves: By method (runs, budget) regret after so many reports.
        workers: Of each run.
        path: Of the picture.
    """
    figure = Figure(figsize=(8.2, 4.2), layout="constrained", dpi=110)
    axis = figure.subplots()
    ends = {method: interquartile_mean(runs) for method, runs in curves.items()}
    order = sorted(ends, key=lambda method: (method != DEFAULT, float(ends[method].mean())))
    for place, method in enumerate(order):
        mean, reports = ends[method], np.arange(1, curves[method].shape[1] + 1)
        colour = COLOURS[place % len(COLOURS)]
        style = LINES[place // len(COLOURS) % len(LINES)]
        width = 2.4 if method == DEFAULT else 1.3
        axis.plot(reports, mean, color=colour, linestyle=style, linewidth=width, label=f"{method} ({len(curves[method])})")
        if method in (DEFAULT, "random"):
            axis.fill_between(reports, *_band(curves[method]), color=colour, alpha=0.15, linewidth=0)
    axis.set(xscale="log", xlim=(10, curves[order[0]].shape[1]), ylim=(-0.02, 1.02))
    axis.set(xlabel=f"reports trained, {workers} worker{'s' if workers > 1 else ''}", ylabel="regret of the best report so far")
    axis.grid(alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right upper", fontsize=8, frameon=False, title="method (runs)")
    figure.savefig(path, metadata={"Software": None})


def _band(runs: Floats) -> tuple[Floats, Floats]:
    generator = np.random.default_rng(0)
    means = [interquartile_mean(runs[generator.integers(len(runs), size=len(runs))]) for _ in range(RESAMPLES)]
    low, high = np.quantile(means, [0.025, 0.975], axis=0)
    return low, high
