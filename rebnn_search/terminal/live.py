"""Progress as a picture that redraws itself, for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from types import TracebackType

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from rebnn_search.base.duration import duration_text
from rebnn_search.config import printable
from rebnn_search.execution.events import SearchObserver
from rebnn_search.study.spec import Params
from rebnn_search.terminal.state import SearchState
from rebnn_search.training.report_log import TrackedReport

BARS = "▁▂▃▄▅▆▇█"
STYLES = {"COMPLETE": "green", "PRUNED": "yellow", "FAIL": "red"}
SPARK_WIDTH = 24


class LiveProgress(SearchObserver):
    """Counts, a bar, the best so far and each running trial with its curve of the objective."""

    def __init__(self, console: Console, state: SearchState, *, tells_data: bool = True) -> None:
        self._console = console
        self._state = state
        self._tells_data = tells_data
        self._live = Live(self, console=console, refresh_per_second=4, transient=True)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._live.stop()

    def began(self, target: int, earlier: Mapping[int, tuple[str, Mapping[str, float]]]) -> None:
        """Start drawing."""
        self._state.began(target, earlier)
        # Made here, not in the constructor: by now the streams are those the search leaves to its display.
        self._live.start()

    def found_data(self, text: str) -> None:
        """Say, above the picture, what was found."""
        if self._tells_data:
            self.found_other_data(text)

    def found_other_data(self, text: str) -> None:
        """Say it there, too, in any case."""
        self._console.print(Text(printable(f"data: {text}")), soft_wrap=True)

    def started(self, number: int, name: str, params: Params, resumed_at: int) -> None:
        """Take in a trial's start."""
        self._state.started(number, name, params, resumed_at)

    def reported(self, number: int, report: TrackedReport) -> None:
        """Take in a report."""
        self._state.reported(number, report)

    def failed(self, number: int, reason: str, times: int) -> None:
        """Say, above the picture, that a trial will be started again."""
        self._console.print(
            Text(printable(f"{self._state.name(number)} failed ({times}): {reason}; starting it again"), style="yellow")
        )

    def paused(self, number: int) -> None:
        """Take in that a trial waits."""
        self._state.paused(number)

    def finished(self, number: int, state: str, reason: str | None, summary: Mapping[str, float]) -> None:
        """Take in a trial's end; a failure's reason stays on the screen."""
        if state == "FAIL":
            name = self._state.name(number)
            self._console.print(Text(printable(f"FAIL {name}: {reason}"), style="red"))
        self._state.finished(number, state, summary)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        state = self._state
        width = options.max_width
        head = Text.assemble(
            (f"{state.ended}/{state.target} trials", "bold"), "  ",
            (f"{state.counts['COMPLETE']} done", STYLES["COMPLETE"]), "  ",
            (f"{state.counts['PRUNED']} pruned", STYLES["PRUNED"]), "  ",
            (f"{state.counts['FAIL']} failed", STYLES["FAIL"] if state.counts["FAIL"] else "dim"), "  ",
            f"{len(state.running)} running",
        )  # fmt: skip
        bar = Table.grid()  # a bar alone does not end its line
        bar.add_row(ProgressBar(total=max(1, state.target), completed=state.ended, width=min(width, 60)))
        tail = []
        if state.best is not None:
            tail.append(f"best {state.metric} {state.best[1]:.4f} ({state.best[2]})")
        if state.epochs_saved:
            tail.append(f"{state.epochs_saved:.0f} epochs saved by pruning")
        if state.seconds_left is not None:
            tail.append(f"{duration_text(state.seconds_left)} left")
        yield Group(head, bar, Text(", ".join(tail) or "the first trials are starting"), self._trials(width))

    def _trials(self, width: int) -> Table:
        table = Table(box=None, padding=(0, 1), show_header=False, width=width)
        table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        table.add_column(justify="right", no_wrap=True)
        table.add_column(justify="right", no_wrap=True)
        if width >= 70:
            table.add_column(no_wrap=True, width=SPARK_WIDTH)
        for trial in list(self._state.running.values()):
            value = f"{trial.curve[-1]:.4f}" if trial.curve else ""
            row = [Text(printable(trial.name)), Text(f"epoch {trial.epoch:.1f}/{trial.epochs:g}"), Text(value)]
            if width >= 70:
                row.append(Text(sparkline(trial.curve), style="cyan"))
            table.add_row(*row)
        return table


def sparkline(curve: list[float]) -> str:
    """The last values of a curve as one line of bars, from its lowest to its highest; a blank for what is no finite number."""
    shown = curve[-SPARK_WIDTH:]
    finite = [value for value in shown if isfinite(value)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    scale = (len(BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(BARS[round((value - low) * scale)] if isfinite(value) else " " for value in shown)
