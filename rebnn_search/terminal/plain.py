"""Progress as plain lines, for a pipe or a log."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console

from rebnn_search.base.duration import duration_text
from rebnn_search.base.metrics import EPOCHS, VAL_LOSS, VAL_TOP1
from rebnn_search.config import printable
from rebnn_search.execution.events import SearchObserver
from rebnn_search.study.attributes import INFEASIBLE
from rebnn_search.study.spec import Params
from rebnn_search.study.table import epochs_text
from rebnn_search.terminal.state import SearchState
from rebnn_search.training.report_log import TrackedReport


class PlainProgress(SearchObserver):
    """A line for each trial's end, and one at the start."""

    def __init__(self, console: Console, state: SearchState, *, tells_data: bool = True) -> None:
        self._console = console
        self._state = state
        self._tells_data = tells_data

    def began(self, target: int, earlier: Mapping[int, tuple[str, Mapping[str, float]]]) -> None:
        """Say how much there is to do."""
        self._state.began(target, earlier)
        done = f", {self._state.ended} of them done before" if earlier else ""
        self._print(f"{target} trials{done}")

    def found_data(self, text: str) -> None:
        """Say what was found."""
        if self._tells_data:
            self.found_other_data(text)

    def found_other_data(self, text: str) -> None:
        """Say it in any case."""
        self._print(f"data: {text}")

    def started(self, number: int, name: str, params: Params, resumed_at: int) -> None:
        """Say only that a trial goes on; a fresh start is nothing new."""
        self._state.started(number, name, params, resumed_at)
        if resumed_at:
            self._print(f"trial {self._state.name(number)} goes on after report {resumed_at}")

    def reported(self, number: int, report: TrackedReport) -> None:
        """Take the report in."""
        self._state.reported(number, report)

    def failed(self, number: int, reason: str, times: int) -> None:
        """Say that a trial will be started again."""
        self._print(f"trial {self._state.name(number)} failed ({times}): {reason}; starting it again")

    def paused(self, number: int) -> None:
        """Take in that a trial waits."""
        self._state.paused(number)

    def finished(self, number: int, state: str, reason: str | None, summary: Mapping[str, float]) -> None:
        """Say how a trial ended, and how the search stands."""
        known = self._state
        name = known.name(number)
        known.finished(number, state, summary)
        loss, top1 = summary.get(VAL_LOSS), summary.get(VAL_TOP1)
        scores = "" if loss is None or top1 is None else f"  val loss {loss:.4f}  Top-1 {top1:.2f} %"
        why = f"  ({reason})" if reason and (state == "FAIL" or reason.startswith(INFEASIBLE)) else ""
        if state == "COMPLETE" and not known.feasible(summary):
            why = f"  ({INFEASIBLE})"
        best = f"  best #{known.best[0]} {known.best[1]:.4f}" if known.best else ""
        left = f"  {duration_text(known.seconds_left)} left" if known.seconds_left else ""
        epochs = f"  {epochs_text(summary[EPOCHS])} epochs" if summary else ""
        self._print(f"[{known.ended}/{known.target}] {state:8} {name}{epochs}{scores}{why}{best}{left}")

    def _print(self, line: str) -> None:
        self._console.print(printable(line), soft_wrap=True, markup=False, highlight=False)
