"""What happens at each event of a search, in the order that no crash can spoil: reports file, ledger, tracking, display."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from typing import Any, Protocol

from optuna.trial import TrialState

from rebnn_search.search.ledger import SUMMARY, Ledger, prune_reason
from rebnn_search.search.names import run_name
from rebnn_search.search.reconcile import end_metrics, end_tags
from rebnn_search.search.reports import TrackedReport
from rebnn_search.search.spec import Params, Search
from rebnn_search.search.storage import SearchFolder
from rebnn_search.tracking import Point, Tracker
from rebnn_search.training import Report


class Observer(Protocol):
    """Someone who watches a search."""

    def began(self, target: int, earlier: Mapping[int, tuple[str, Mapping[str, float]]]) -> None:
        """Tell how many trials there will be, and the state and summary of those that ended in earlier runs."""

    def started(self, number: int, params: Params, resumed_at: int) -> None:
        """Report that a trial was handed to Tune, with the reports it already had."""

    def reported(self, number: int, report: TrackedReport) -> None:
        """Tell of a report."""

    def finished(self, number: int, state: str, reason: str | None, summary: Mapping[str, float]) -> None:
        """Tell that a trial ended COMPLETE, PRUNED or FAIL."""


class Conductor:
    """Decides which trial comes next and what becomes of each report.

    Args:
        search: The resolved search.
        folder: Its folder.
        ledger: Its ledger, brought up to date here.
        tracker: Its tracking.
        observer: Who watches.
        target: How many trials the search shall have in all.
    """

    def __init__(
        self, search: Search, folder: SearchFolder, ledger: Ledger, tracker: Tracker, observer: Observer, target: int
    ) -> None:
        self._search = search
        self._folder = folder
        self._ledger = ledger
        self._tracker = tracker
        self._observer = observer
        self._target = target
        self._todo = deque(ledger.unfinished())
        self._live: dict[int, Params] = {}
        self.stopping = False
        ended = {t.number: (t.state.name, t.user_attrs.get(SUMMARY, {})) for t in ledger.trials if t.state.is_finished()}
        observer.began(target, ended)

    @property
    def live(self) -> int:
        """How many trials Tune holds."""
        return len(self._live)

    @property
    def exhausted(self) -> bool:
        """Whether every trial has been handed out."""
        return self.stopping or (not self._todo and self._ledger.asked >= self._target)

    def next_trial(self) -> dict[str, Any] | None:
        """The configuration of the next trial for its trainable, or None when there is no more."""
        if self.exhausted:
            return None
        number, params = self._todo.popleft() if self._todo else self._ledger.ask()
        self._live[number] = params
        self._tracker.start(number, run_name(number, params), params)
        self._observer.started(number, params, self._ledger.reports(number).last_step)
        resources = self._search.spec.resources
        return {
            "number": number,
            "recipe": self._search.recipe_data(params),
            "folder": str(self._folder.trial(number).absolute()),
            "workspace": str(self._folder.path.absolute()),
            "threads": resources.cpus_per_worker,
            "gpus": resources.gpus_per_worker,
            "workers": resources.workers_per_trial,
        }

    def result(self, number: int, result: Mapping[str, Any]) -> bool:
        """Take in a result of a trial. Whether the trial shall stop now."""
        if number not in self._live:
            return True
        if "failed" in result:
            self._end(number, TrialState.FAIL, result["failed"])
            return True
        if "report" not in result:
            return False
        report: Report = result["report"]
        kept = TrackedReport(report.step, report.epoch, int(time.time() * 1000), bool(result["final"]), report.metrics)
        if self._ledger.report(number, kept):
            self._tracker.log(number, Point(kept.step, kept.timestamp, kept.metrics))
            self._observer.reported(number, kept)
        elif not kept.final:
            return False  # told again by a worker that was started again
        if kept.final:
            self._end(number, TrialState.COMPLETE, None)
            return True
        if self._ledger.should_prune(number):
            self._end(number, TrialState.PRUNED, prune_reason(self._search, kept.step))
            return True
        return False

    def error(self, number: int, message: str) -> None:
        """Give a trial up that Tune has started again as often as it may."""
        if number not in self._live:
            return
        error_file = self._folder.trial(number) / "error.txt"
        trace = error_file.read_text(encoding="utf-8") if error_file.exists() else message
        reason = next((line.strip() for line in reversed(trace.splitlines()) if line.strip()), "the worker died")
        self._tracker.do(lambda runs: runs.client.log_text(runs.children[number], trace, "error.txt"))
        self._end(number, TrialState.FAIL, reason)

    def _end(self, number: int, state: TrialState, reason: str | None) -> None:
        if state == TrialState.COMPLETE:
            self._ledger.complete(number)
        elif state == TrialState.PRUNED:
            self._ledger.prune(number, reason or "")
        else:
            self._ledger.fail(number, reason or "")
        del self._live[number]
        trial = self._ledger.trial(number)
        self._tracker.end(number, state.name, end_tags(trial), end_metrics(trial))
        self._observer.finished(number, state.name, reason, trial.user_attrs.get(SUMMARY, {}))

    def stop(self) -> None:
        """Hand out no more trials, and let those that run end at their next report with a checkpoint."""
        self.stopping = True

    def put_back(self, number: int) -> None:
        """Take a trial back from Tune unfinished, for a later resume."""
        self._live.pop(number, None)
