"""What every picture has in common: size for print, fonts, a registry by name."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rebnn_search.base.metrics import VAL_LOSS, VAL_TOP1, VAL_TOP5
from rebnn_search.config import Notice, UserError
from rebnn_search.report.by_place import ByPlace
from rebnn_search.report.tracked import TrackedSearch
from rebnn_search.training.custom_parts import described

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure as Drawing

Draw = Callable[[TrackedSearch], "Drawing | None"]
"""Draws a tracked search: a `matplotlib.figure.Figure`, or None where the search lacks what it would show."""


@dataclass(frozen=True)
class Figure:
    """A picture of a search.

    Attributes:
        name: Also the file's.
        title: Above it on the page.
        caption: Below that: what is drawn.
        draw: Draws it.
        place: Where it stands among the others, smallest first.
    """

    name: str
    title: str
    caption: str
    draw: Draw
    place: int


class Figures(ByPlace[Figure]):
    """The figures in the order of the page."""

    def draw(self, search: TrackedSearch) -> dict[str, Drawing]:
        """Draw all that the search has the runs for, by name. One that cannot be drawn is told of and left out."""
        found = {}
        for figure in self:
            try:
                drawn = figure.draw(search)
            except (UserError, OSError):  # tracking is gone, the disk is full
                raise
            except Exception as error:  # Optuna's, matplotlib's, or of somebody's own figure
                warnings.warn(f"the figure {figure.name} is left out: {described(error)}", Notice, stacklevel=2)
                continue
            if drawn is not None:
                found[figure.name] = drawn
        return found


FIGURES = Figures("figure")
"""Every figure of the report."""

STYLE: Mapping[str, Any] = {
    "font.size": 9, "axes.titlesize": 9, "axes.labelsize": 9, "legend.fontsize": 8, "xtick.labelsize": 8, "ytick.labelsize": 8,
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.3, "grid.linewidth": 0.5,
    "lines.linewidth": 1.4, "legend.frameon": False, "savefig.dpi": 200, "pdf.fonttype": 42, "svg.fonttype": "none",
    "figure.constrained_layout.use": True, "axes.axisbelow": True, "svg.hashsalt": "rebnn_search",
}  # fmt: skip
WIDTH = 6.9
"""Inches: a page of two columns."""
WIDEST_LINEAR = 8.0
"""So many times the least value is the largest of an axis that is not logarithmic."""
MOST_NAMED = 16
"""Strategies in a legend: more would run off the picture."""
TRIAL_MARK = "trial-"
"""A curve with this and a trial's number as its gid says on the page, under the pointer, what it is of."""


def figure(name: str, title: str, caption: str, *, place: int = 1000) -> Callable[[Draw], Draw]:
    """Enter a function among the figures; see `Figure`."""

    def enter(draw: Draw) -> Draw:
        FIGURES.add(Figure(name, title, caption, draw, place))
        return draw

    return enter


def objective_label(search: TrackedSearch) -> str:
    """What an axis of the objective is called."""
    units = {VAL_LOSS: "validation loss (nats)", VAL_TOP1: "validation Top-1 (%)", VAL_TOP5: "validation Top-5 (%)"}
    return units.get(search.objective, search.objective)


def alone(places: Sized) -> str | None:
    """A mark for a curve of one point, which a line does not show; None for any other."""
    return "o" if len(places) == 1 else None


def legend(figure: Drawing, handles: Sequence[Artist]) -> None:
    """Name strategies beside a picture, as far as there is room."""
    from matplotlib.lines import Line2D

    shown = list(handles)
    if len(shown) > MOST_NAMED:
        shown[MOST_NAMED - 1 :] = [Line2D([], [], linestyle="", label=f"and {len(shown) - MOST_NAMED + 1} more")]
    figure.legend(handles=shown, loc="outside right upper", fontsize=STYLE["legend.fontsize"], frameon=False)


def wide(low: float, high: float) -> bool:
    """Whether an axis of values between these is logarithmic."""
    return low > 0 and high > WIDEST_LINEAR * low


def plain(text: str) -> str:
    """A user's text for a figure: matplotlib would take what stands between two $ for a formula."""
    return text.replace("$", r"\$")


@contextmanager
def style() -> Iterator[None]:
    """Draw in the project's style, whatever the process draws otherwise."""
    import matplotlib as mpl

    mpl.use("Agg")
    with mpl.rc_context({**mpl.rcParamsDefault, **STYLE, "backend": "Agg"}):
        yield
