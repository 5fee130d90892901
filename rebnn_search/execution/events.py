"""Who is notified of a search's events: those who watch it, and where its trials are tracked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Protocol, Self

from optuna.trial import FrozenTrial

from rebnn_search.study.spec import Params
from rebnn_search.training.report_log import TrackedReport


class SearchObserver(Protocol):
    """Someone who watches a search."""

    def began(self, target: int, earlier: Mapping[int, tuple[str, Mapping[str, float]]]) -> None:
        """Report how many trials there will be, and the state and summary of those that ended in earlier runs."""

    def started(self, number: int, name: str, resumed_at: int) -> None:
        """Report that a trial was handed out, with its name and the reports it already had."""

    def reported(self, number: int, report: TrackedReport) -> None:
        """Report progress."""

    def failed(self, number: int, reason: str, times: int) -> None:
        """Report that a trial failed for the ``times``-th time and will be started again."""

    def paused(self, number: int) -> None:
        """Report that a trial waits from now on; `started` tells when it goes on."""

    def finished(self, number: int, state: str, reason: str | None, summary: Mapping[str, float]) -> None:
        """Report that a trial ended COMPLETE, PRUNED or FAIL."""


class Silent:
    """Watches and says nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Hold nothing."""

    def began(self, target: int, earlier: Mapping[int, tuple[str, Mapping[str, float]]]) -> None:
        """Say nothing."""

    def started(self, number: int, name: str, resumed_at: int) -> None:
        """Say nothing."""

    def reported(self, number: int, report: TrackedReport) -> None:
        """Say nothing."""

    def failed(self, number: int, reason: str, times: int) -> None:
        """Say nothing."""

    def paused(self, number: int) -> None:
        """Say nothing."""

    def finished(self, number: int, state: str, reason: str | None, summary: Mapping[str, float]) -> None:
        """Say nothing."""


class TrialTracking(Protocol):
    """Where the trials of a search are tracked. Notified before the observer, after the ledger."""

    def started(self, number: int, name: str, params: Params) -> None:
        """Begin a trial, or go on with it."""

    def reported(self, number: int, report: TrackedReport) -> None:
        """Take a new report."""

    def gave_up(self, number: int, trace: str) -> None:
        """Keep the traceback of a trial that failed too often. Its end follows."""

    def ended(self, trial: FrozenTrial, reports: Sequence[TrackedReport]) -> None:
        """End a trial; all its reports come again."""


class Untracked:
    """Tracks nothing."""

    def started(self, number: int, name: str, params: Params) -> None:
        """Track nothing."""

    def reported(self, number: int, report: TrackedReport) -> None:
        """Track nothing."""

    def gave_up(self, number: int, trace: str) -> None:
        """Track nothing."""

    def ended(self, trial: FrozenTrial, reports: Sequence[TrackedReport]) -> None:
        """Track nothing."""
