"""Brings tracking up to what the ledger and the reports on disk say: the first thing a resumed search does."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from optuna.trial import FrozenTrial, TrialState

from rebnn_search.execution.trial_recipe import write_trial_recipe
from rebnn_search.execution.trial_runs import end_run, point, start_tags
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.study.attributes import PARAMS
from rebnn_search.study.ledger import Ledger
from rebnn_search.study.search import Search
from rebnn_search.tracking import Runs, Tracker, catch_up, last_report
from rebnn_search.training.report_log import read_reports


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
            job = partial(_bring_up, search, trial, folder.report_file(trial.number))
            if trial.state.is_finished():
                tracker.end(trial.number, job)
            else:
                tracker.begin(trial.number, job)


def _bring_up(search: Search, trial: FrozenTrial, path: Path, runs: Runs) -> None:
    number, params, finished = trial.number, trial.user_attrs[PARAMS], trial.state.is_finished()
    metric = search.spec.objective.metric
    # Read at each try: a trial that goes on adds reports to the file meanwhile, and they are also queued behind this job.
    reports = read_reports(path)
    if finished and runs.is_ended(number, trial.state.name, last_report(reports)):
        return
    points = [point(report, metric) for report in reports]
    # A finished trial's file may have lost reports that the ledger still knows; a trial that goes on will make them again.
    lost = (trial.last_step or 0) if finished else 0
    tags = start_tags(search, number)
    catch_up(runs, number, search.name_of(number, params), params, points, metric, tags=tags, lost=lost)
    if finished:
        end_run(runs, search, trial, reports)
