"""Brings tracking up to what the ledger and the reports on disk say: the first thing a resumed search does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from optuna.trial import FrozenTrial, TrialState

from rebnn_search.execution.trial_recipe import write_trial_recipe
from rebnn_search.execution.trial_runs import end_metrics, end_tags, last_report, log_latent_weights, point, start_tags
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.study.attributes import PARAMS
from rebnn_search.study.ledger import Ledger
from rebnn_search.study.search import Search
from rebnn_search.tracking import Runs, Tracker
from rebnn_search.training.report_log import TrackedReport, read_reports


def reconcile(search: Search, folder: SearchFolder, ledger: Ledger, tracker: Tracker) -> None:
    """Queue what tracking may lack of every trial that was asked for.

    A trial without a run gets one; a run that ends before its trial's reports do is filled up; a finished trial's run is ended.
    A run that is whole is left as it is, and what is sent twice makes no second point. The run of a trial that the ledger knows
    nothing of is put away: its number will be asked for anew.
    """
    asked = {trial.number for trial in ledger.trials if PARAMS in trial.user_attrs}

    def put_away(runs: Runs) -> None:
        runs.forget_doubles()
        for number in [number for number in runs.children if number not in asked]:
            runs.forget(number)

    tracker.do(put_away)
    for trial in ledger.trials:
        if PARAMS in trial.user_attrs and folder.trial(trial.number).exists():  # one that an earlier version began lacks it
            write_trial_recipe(search, folder, trial.number, trial.user_attrs[PARAMS])
        if trial.state != TrialState.WAITING and PARAMS in trial.user_attrs:
            path = folder.report_file(trial.number)
            tracker.do(lambda runs, trial=trial, path=path: _bring_up(search, runs, trial, path))  # type: ignore[misc]


def _bring_up(search: Search, runs: Runs, trial: FrozenTrial, path: Path) -> None:
    number, params, metric = trial.number, trial.user_attrs[PARAMS], search.spec.objective.metric
    runs.forget_doubles()
    # Of a trial that goes on these may be more with every try, and the new ones are queued behind this.
    kept = read_reports(path)
    if trial.state.is_finished() and runs.is_ended(number, trial.state.name, last_report(kept)):
        return
    run_id = runs.ensure_child(number, search.name_of(number, params), params, start_tags(search, number))
    tracked = runs.times(run_id, metric)
    if _of_another(trial, kept, tracked):
        # What is tracked went with the machine that recorded it, and is made again, at other times or not at all.
        runs.forget(number)
        run_id, tracked = runs.ensure_child(number, search.name_of(number, params), params, start_tags(search, number)), {}
    # The last step known is sent again: a crash may have cut its batch in two.
    runs.log(run_id, [point(report, metric) for report in kept if report.step >= max(tracked, default=0)])
    if trial.state.is_finished():
        log_latent_weights(runs, number, kept)
        runs.end(run_id, trial.state.name, end_tags(search, trial, kept), end_metrics(trial))


def _of_another(trial: FrozenTrial, kept: Sequence[TrackedReport], tracked: Mapping[int, set[int]]) -> bool:
    """Whether a run tells of reports that the trial does not have.

    One that a finished trial's file has lost, and the ledger still knows of, is the trial's own.
    """
    times = {report.step: {report.timestamp} for report in kept}
    lost = (trial.last_step or 0) if trial.state.is_finished() else 0
    return any(seen != times[step] if step in times else step > lost for step, seen in tracked.items())
