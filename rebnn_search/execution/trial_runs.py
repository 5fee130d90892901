"""A trial's run in MLflow: what it is sent at each event."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from optuna.trial import FrozenTrial, TrialState

from rebnn_search.base.metrics import BEST, final
from rebnn_search.execution.events import TrialTracking
from rebnn_search.study.attributes import REASON, SUMMARY
from rebnn_search.study.search import Search
from rebnn_search.study.spec import Params
from rebnn_search.tracking import CONFIGURATION_TAG, LAST_TAG, SEED_TAG, Point, Runs, Tracker, last_report
from rebnn_search.training.report_log import TrackedReport

LATENT_FILE = "latent_weights.json"
"""Artifact of a trial's run: unit and counts by epoch, as `rebnn_search.training.LatentHistogram` has them."""

INFEASIBLE_TAG = "infeasible"
"""Tag of a trial's run: which constraints it broke."""


class TrialRuns(TrialTracking):
    """Tracks the trials of a search, one run each, by way of the tracker's queue.

    Args:
        search: The resolved search.
        tracker: Its tracking.
        first: What to do there before the first trial is started.
    """

    def __init__(self, search: Search, tracker: Tracker, first: Callable[[Runs], object] | None = None) -> None:
        self._search, self._tracker, self._first = search, tracker, first

    def started(self, number: int, name: str, params: Params) -> None:
        """Make or find the trial's run."""
        if self._first is not None:
            self._tracker.do(self._first)
            self._first = None
        self._tracker.start(number, name, params, start_tags(self._search, number))

    def reported(self, number: int, report: TrackedReport) -> None:
        """Log the report's metrics."""
        self._tracker.log(number, point(report, self._search.spec.objective.metric))

    def gave_up(self, number: int, trace: str) -> None:
        """Keep the traceback as an artifact."""
        self._tracker.end(number, lambda runs: runs.client.log_text(runs.children[number], trace, "error.txt"))

    def ended(self, trial: FrozenTrial, reports: Sequence[TrackedReport]) -> None:
        """Log the histograms of latent weights, and end the run with what it is compared by."""
        self._tracker.end(trial.number, lambda runs: end_run(runs, self._search, trial, reports))


def point(report: TrackedReport, first: str) -> Point:
    """A report as a run has it.

    Args:
        report: The report.
        first: The metric that goes before the others: MLflow's UI opens its comparison of runs with the one that was logged first.
    """
    before = {first: report.metrics[first]} if first in report.metrics else {}
    return Point(report.step, report.timestamp, {**before, **report.metrics})


def end_run(runs: Runs, search: Search, trial: FrozenTrial, reports: Sequence[TrackedReport]) -> None:
    """Give a finished trial's run its files, then its end, which says that all of it is there."""
    log_latent_weights(runs, trial.number, reports)
    runs.end(runs.children[trial.number], trial.state.name, end_tags(search, trial, reports), end_metrics(trial))


def log_latent_weights(runs: Runs, number: int, reports: Sequence[TrackedReport]) -> None:
    """Give a trial's run the histograms of its latent weights over training, if it made any."""
    found = [report.latent for report in reports if report.latent]
    if found:
        counts = {epoch: values for latent in found for epoch, values in latent["counts"].items()}
        runs.client.log_dict(runs.children[number], {"unit": found[0]["unit"], "counts": counts}, LATENT_FILE)


def start_tags(search: Search, number: int) -> dict[str, str]:
    """The tags a trial's run gets when it is made."""
    seed = search.seed_of(number)
    return {} if seed is None else {CONFIGURATION_TAG: str(search.configuration_of(number)), SEED_TAG: str(seed)}


def end_tags(search: Search, trial: FrozenTrial, reports: Sequence[TrackedReport]) -> dict[str, str]:
    """The tags a finished trial's run gets besides its state."""
    reason = trial.user_attrs.get(REASON)
    broken = search.broken(trial.user_attrs.get(SUMMARY, {}), ended=trial.state == TrialState.COMPLETE)
    tags = {LAST_TAG: last_report(reports), "reason": reason, INFEASIBLE_TAG: broken}
    return {name: str(text)[:5000] for name, text in tags.items() if text is not None}


def end_metrics(trial: FrozenTrial) -> dict[str, float]:
    """The metrics a finished trial's run is compared by."""
    summary: dict[str, float] = trial.user_attrs.get(SUMMARY, {})
    return {name if name.startswith(BEST) else final(name): value for name, value in summary.items()}
