"""What every picture has in common: size for print, fonts, a registry by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rebnn_search.report.tracked import TrackedSearch

Draw = Callable[[TrackedSearch], Any]
"""Draws a tracked search: a `matplotlib.figure.Figure`, or None where the search lacks what it would show."""

FIGURES: dict[str, Draw] = {}
"""By name, which is also the file's."""

STYLE = {
    "font.size": 9, "axes.titlesize": 9, "axes.labelsize": 9, "legend.fontsize": 8, "xtick.labelsize": 8, "ytick.labelsize": 8,
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.3, "grid.linewidth": 0.5,
    "lines.linewidth": 1.4, "legend.frameon": False, "savefig.dpi": 200, "pdf.fonttype": 42, "svg.fonttype": "none",
    "figure.constrained_layout.use": True, "axes.axisbelow": True, "svg.hashsalt": "rebnn_search",
}  # fmt: skip
WIDTH = 6.9
"""Inches: a page of two columns."""


def figure(name: str) -> Callable[[Draw], Draw]:
    """Enter a function among the figures under a name."""

    def enter(draw: Draw) -> Draw:
        FIGURES[name] = draw
        return draw

    return enter


@contextmanager
def style() -> Iterator[None]:
    """Draw in the project's style, whatever the process draws otherwise."""
    import matplotlib as mpl

    mpl.use("Agg")
    with mpl.rc_context({**mpl.rcParamsDefault, **STYLE, "backend": "Agg"}):
        yield
