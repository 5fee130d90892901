"""Progress in a notebook: one output that is drawn again and again."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from html import escape
from importlib.util import find_spec
from types import TracebackType
from typing import Any, Protocol, Self

from rebnn_search.base.duration import duration_text
from rebnn_search.execution.events import SearchObserver
from rebnn_search.study.spec import Params
from rebnn_search.terminal.live import sparkline
from rebnn_search.terminal.state import SearchState
from rebnn_search.training.report_log import TrackedReport

DRAW_SECONDS = 0.25
"""Between two pictures at the least."""


def in_notebook() -> bool:
    """Whether this process is a notebook's kernel."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and getattr(ipython.get_ipython(), "kernel", None) is not None


class Picture(Protocol):
    """What is drawn in a notebook's output."""

    def draw(self, ended: int, target: int, html: str) -> None:
        """Show how many trials of how many have ended, and the rest as HTML."""


class WidgetPicture:
    """A bar and a text as widgets of ipywidgets."""

    def __init__(self) -> None:
        import ipywidgets
        from IPython.display import display

        self._bar = ipywidgets.IntProgress(layout={"width": "30em"})
        self._text = ipywidgets.HTML()
        display(ipywidgets.VBox([self._bar, self._text]))

    def draw(self, ended: int, target: int, html: str) -> None:
        """See `Picture`."""
        self._bar.max, self._bar.value = max(1, target), ended
        self._text.value = html


class HtmlPicture:
    """The same as plain HTML in an output that is replaced."""

    def __init__(self) -> None:
        self._handle: Any = None

    def draw(self, ended: int, target: int, html: str) -> None:
        """See `Picture`."""
        from IPython.display import HTML, display

        shown = HTML(f'<progress style="width:30em" max="{max(1, target)}" value="{ended}"></progress>{html}')
        if self._handle is None:
            self._handle = display(shown, display_id=True)
        else:
            self._handle.update(shown)


class NotebookProgress(SearchObserver):
    """Counts, a bar, the best so far and each running trial with its curve, as widgets where ipywidgets is installed.

    Args:
        state: Of the search.
        widgets: Whether ipywidgets draws; None where it is installed.
    """

    def __init__(self, state: SearchState, widgets: bool | None = None) -> None:
        self._state = state
        self._widgets = find_spec("ipywidgets") is not None if widgets is None else widgets
        self._picture: Picture | None = None
        self._drawn = 0.0
        self._lines: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Leave the last state of things standing."""
        if self._picture is not None:
            self._draw()

    def began(self, target: int, earlier: Mapping[int, tuple[str, Mapping[str, float]]]) -> None:
        """Begin to draw."""
        self._state.began(target, earlier)
        self._picture = WidgetPicture() if self._widgets else HtmlPicture()
        self._draw()

    def found_data(self, text: str) -> None:
        """Say what was found; it stays."""
        self._lines.append(f"data: {text}")
        self._draw()

    def started(self, number: int, name: str, params: Params, resumed_at: int) -> None:
        """Take in a trial's start."""
        self._state.started(number, name, params, resumed_at)
        self._draw_now_and_then()

    def reported(self, number: int, report: TrackedReport) -> None:
        """Take in a report."""
        self._state.reported(number, report)
        self._draw_now_and_then()

    def failed(self, number: int, reason: str, times: int) -> None:
        """Say that a trial will be started again."""
        self._lines.append(f"{self._state.name(number)} failed ({times}): {reason}; starting it again")
        self._draw()

    def paused(self, number: int) -> None:
        """Take in that a trial waits."""
        self._state.paused(number)
        self._draw_now_and_then()

    def finished(self, number: int, state: str, reason: str | None, summary: Mapping[str, float]) -> None:
        """Take in a trial's end; a failure's reason stays."""
        if state == "FAIL":
            self._lines.append(f"FAIL {self._state.name(number)}: {reason}")
        self._state.finished(number, state, summary)
        self._draw_now_and_then()

    def _draw_now_and_then(self) -> None:
        if time.monotonic() - self._drawn >= DRAW_SECONDS:
            self._draw()

    def _draw(self) -> None:
        if self._picture is not None:
            self._drawn = time.monotonic()
            self._picture.draw(self._state.ended, self._state.target, progress_html(self._state, self._lines))


def progress_html(state: SearchState, said: list[str]) -> str:
    """A search's state as HTML."""
    counts = state.counts
    head = (
        f"<b>{state.ended}/{state.target} trials</b>: {counts['COMPLETE']} done, {counts['PRUNED']} pruned, "
        f"{counts['FAIL']} failed, {len(state.running)} running"
    )
    tail = []
    if state.best is not None:
        tail.append(f"best {state.metric} {state.best[1]:.4f} ({state.best[2]})")
    if state.epochs_saved:
        tail.append(f"{state.epochs_saved:.0f} epochs saved by pruning")
    if state.seconds_left:
        tail.append(f"{duration_text(state.seconds_left)} left")
    rows = "".join(
        f"<tr><td style='text-align:left'>{escape(trial.name)}</td><td>epoch {trial.epoch:.1f}/{trial.epochs:g}</td>"
        f"<td>{f'{trial.curve[-1]:.4f}' if trial.curve else ''}</td><td>{sparkline(trial.curve)}</td></tr>"
        for trial in list(state.running.values())
    )
    lines = [head, escape(", ".join(tail)), *(f"<i>{escape(line)}</i>" for line in said)]
    return "<div>" + "<br>".join(line for line in lines if line) + (f"<table>{rows}</table>" if rows else "") + "</div>"
