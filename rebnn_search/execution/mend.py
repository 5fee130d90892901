"""Reports that the disk lost: found by what the ledger knows of them, brought back from tracking where that still has them."""

from __future__ import annotations

from optuna.trial import FrozenTrial, TrialState

from rebnn_search.base.notices import notice
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.study.attributes import PARAMS
from rebnn_search.study.ledger import Ledger
from rebnn_search.study.search import Search
from rebnn_search.tracking import Runs
from rebnn_search.training.report_log import ReportLog, TrackedReport


def mend_reports(search: Search, folder: SearchFolder, ledger: Ledger, runs: Runs) -> None:
    """Complete the reports of every trial of which the ledger knows more than are on disk, and say so.

    What tracking has comes back with its time, so that nothing is tracked twice; histograms of latent weights do not. Without it an
    unfinished trial makes its reports again, and of a finished one the curve is short: its result stands in the ledger.
    """
    for trial in ledger.trials:
        if PARAMS not in trial.user_attrs:
            continue
        unfinished = trial.state == TrialState.RUNNING
        log = ledger.reports(trial.number) if unfinished else ledger.open_reports(trial.number)
        file = folder.report_file(trial.number)
        had, want = log.last_step, trial.last_step or 0
        if log.damage is not None:
            notice(f"{file}: damaged, {log.damage}; kept as {file.name}.damaged and cut before that line")
        if had >= want:
            continue
        try:
            _restore(search, trial, log, runs)
        except Exception as error:  # tracking is away or damaged too: that is reported elsewhere
            notice(f"{file}: tracking cannot be asked for its reports ({type(error).__name__})")
        text = f"{file}: {want - had} of {want} reports were lost; {log.last_step - had} are back from tracking"
        if log.last_step < want and unfinished:
            text += "; the trial makes the others again"
        elif log.last_step < want:
            text += "; of the others only the objective is left: the trial's result stands, a curve drawn from here is short"
        notice(text)


def _restore(search: Search, trial: FrozenTrial, log: ReportLog, runs: Runs) -> None:
    metric = search.spec.objective.metric
    each = int(search.recipe(trial.user_attrs[PARAMS]).reports_per_epoch)
    for point in runs.points(trial.number):
        if point.step <= log.last_step:
            continue
        if point.step != log.last_step + 1 or point.metrics.get(metric) != trial.intermediate_values.get(point.step):
            return
        final = trial.state == TrialState.COMPLETE and point.step == trial.last_step
        log.append(TrackedReport(point.step, point.step / each, point.timestamp, final, point.metrics))
