"""Who is notified of a search's events: those who watch it, and where its trials are tracked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from optuna.trial import FrozenTrial

from rebnn_search.study.result import Result
from rebnn_search.study.spec import Params
from rebnn_search.training.report_log import TrackedReport


class SearchObserver:
    """Someone who watches a search; as it stands, one who says nothing. A subclass overrides what it wants to know.

    All is told in the driver's process, in the order in which it happens, and the search waits meanwhile.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Let go of what is held; called however the search ends."""

    def began(self, target: int, earlier: Mapping[int, tuple[str, Mapping[str, float]]]) -> None:
        """Take in how many trials there will be, and the state and summary of those that ended in earlier runs, by number."""

    def found_data(self, text: str) -> None:
        """Take in what was found where the trials' data are read, and what was left out: a line each, for each set of options."""

    def found_other_data(self, text: str) -> None:
        """Take in that a trial found other data than the first of the same options, with which it cannot be compared."""
        self.found_data(text)

    def started(self, number: int, name: str, params: Params, resumed_at: int) -> None:
        """Take in that a trial was handed out, with its name, its parameters and the reports it already had."""

    def reported(self, number: int, report: TrackedReport) -> None:
        """Take in a report: its ``step``, ``epoch`` and ``metrics``."""

    def failed(self, number: int, reason: str, times: int) -> None:
        """Take in that a trial failed for the ``times``-th time and will be started again."""

    def paused(self, number: int) -> None:
        """Take in that a trial waits from now on; `started` tells when it goes on."""

    def finished(self, number: int, state: str, reason: str | None, summary: Mapping[str, float]) -> None:
        """Take in that a trial ended COMPLETE, PRUNED or FAIL, why, and the metrics of its last report."""

    def ended(self, result: Result) -> None:
        """Take in the outcome, also of a search that was interrupted. There is none of a run that ends in an error."""


class TrialTracking:
    """Where the trials of a search are tracked; as it stands, nowhere. Notified before the observer, after the ledger."""

    def started(self, number: int, name: str, params: Params) -> None:
        """Begin a trial, or go on with it."""

    def reported(self, number: int, report: TrackedReport) -> None:
        """Take a new report."""

    def gave_up(self, number: int, trace: str) -> None:
        """Keep the traceback of a trial that failed too often. Its end follows."""

    def ended(self, trial: FrozenTrial, reports: Sequence[TrackedReport]) -> None:
        """End a trial; all its reports come again."""
