"""Brings tracking up to what the ledger and the reports on disk say: the first thing a resumed search does."""

from __future__ import annotations

from pathlib import Path

from optuna.trial import FrozenTrial, TrialState

from rebnn_search.search.ledger import PARAMS, REASON, SUMMARY, Ledger
from rebnn_search.search.names import run_name
from rebnn_search.search.reports import read_reports
from rebnn_search.search.storage import SearchFolder
from rebnn_search.tracking import Point, Runs, Tracker


def reconcile(folder: SearchFolder, ledger: Ledger, tracker: Tracker, metric: str) -> None:
    """Queue what tracking may lack of every trial that was asked for.

    A trial without a run gets one; a run that ends before its trial's reports do is filled up; a finished trial's run is ended.
    A run that is whole is left as it is, and what is sent twice makes no second point.
    """
    for trial in ledger.trials:
        if trial.state != TrialState.WAITING and PARAMS in trial.user_attrs:
            path = folder.trial(trial.number) / "reports.jsonl"
            tracker.do(lambda runs, trial=trial, path=path: _bring_up(runs, trial, path, metric))  # type: ignore[misc]


def _bring_up(runs: Runs, trial: FrozenTrial, path: Path, metric: str) -> None:
    number, params = trial.number, trial.user_attrs[PARAMS]
    if trial.state.is_finished() and runs.is_ended(number, trial.state.name):
        return
    run_id = runs.ensure_child(number, run_name(number, params), params)
    last = runs.last_step(run_id, metric)
    # The last step known is sent again: a crash may have cut its batch in two.
    reports = [report for report in read_reports(path) if report.step >= last]
    runs.log(run_id, [Point(report.step, report.timestamp, report.metrics) for report in reports])
    if trial.state.is_finished():
        runs.end(run_id, trial.state.name, end_tags(trial), end_metrics(trial))


def end_tags(trial: FrozenTrial) -> dict[str, str]:
    """The tags a finished trial's run gets besides its state."""
    reason = trial.user_attrs.get(REASON)
    return {} if reason is None else {"reason": str(reason)[:5000]}


def end_metrics(trial: FrozenTrial) -> dict[str, float]:
    """The metrics a finished trial's run is compared by."""
    return {f"final/{name}": value for name, value in trial.user_attrs.get(SUMMARY, {}).items()}
