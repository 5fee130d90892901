"""Brings tracking up to what the ledger and the reports on disk say: the first thing a resumed search does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from optuna.trial import FrozenTrial, TrialState

from rebnn_search.base.metrics import final
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.study.ledger import PARAMS, REASON, SUMMARY, Ledger
from rebnn_search.study.spec import Params, Search
from rebnn_search.tracking import CONFIGURATION_TAG, SEED_TAG, Point, Runs, Tracker
from rebnn_search.training import Recipe, TrainingFolder
from rebnn_search.training.report_log import TrackedReport, read_reports

LATENT_FILE = "latent_weights.json"
"""Artifact of a trial's run: unit and counts by epoch, as `rebnn_search.training.LatentHistogram` has them."""


def reconcile(search: Search, folder: SearchFolder, ledger: Ledger, tracker: Tracker) -> None:
    """Queue what tracking may lack of every trial that was asked for.

    A trial without a run gets one; a run that ends before its trial's reports do is filled up; a finished trial's run is ended.
    A run that is whole is left as it is, and what is sent twice makes no second point. The run of a trial that the ledger knows
    nothing of is put away: its number will be asked for anew.
    """
    asked = {trial.number for trial in ledger.trials if PARAMS in trial.user_attrs}

    def put_away(runs: Runs) -> None:
        for number in [number for number in runs.children if number not in asked]:
            runs.forget(number)

    tracker.do(put_away)
    for trial in ledger.trials:
        if PARAMS in trial.user_attrs and folder.trial(trial.number).exists():  # one that an earlier version began lacks it
            write_trial_recipe(search, folder, trial.number, trial.user_attrs[PARAMS])
        if trial.state != TrialState.WAITING and PARAMS in trial.user_attrs:
            path = folder.trial(trial.number) / "reports.jsonl"
            tracker.do(lambda runs, trial=trial, path=path: _bring_up(search, runs, trial, path))  # type: ignore[misc]


def _bring_up(search: Search, runs: Runs, trial: FrozenTrial, path: Path) -> None:
    number, params = trial.number, trial.user_attrs[PARAMS]
    if trial.state.is_finished() and runs.is_ended(number, trial.state.name):
        return
    run_id = runs.ensure_child(number, search.name_of(number, params), params, start_tags(search, number))
    last = runs.last_step(run_id, search.spec.objective.metric)
    # The last step known is sent again: a crash may have cut its batch in two.
    reports = [report for report in read_reports(path) if report.step >= last]
    runs.log(run_id, [Point(report.step, report.timestamp, report.metrics) for report in reports])
    if trial.state.is_finished():
        log_latent_weights(runs, number, read_reports(path))
        runs.end(run_id, trial.state.name, end_tags(trial), end_metrics(trial))


def write_trial_recipe(search: Search, folder: SearchFolder, number: int, params: Params) -> None:
    """Write what a trial trains into its folder, unless it is there: it can then be exported, or teach, without the study."""
    recipe = Recipe.model_validate(search.recipe_data(params, number))
    TrainingFolder(folder.trial(number)).write_recipe(recipe, f"Trial #{number} of {folder.name}")


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


def end_tags(trial: FrozenTrial) -> dict[str, str]:
    """The tags a finished trial's run gets besides its state."""
    reason = trial.user_attrs.get(REASON)
    return {} if reason is None else {"reason": str(reason)[:5000]}


def end_metrics(trial: FrozenTrial) -> dict[str, float]:
    """The metrics a finished trial's run is compared by."""
    summary: dict[str, float] = trial.user_attrs.get(SUMMARY, {})
    return {name if name.startswith("best/") else final(name): value for name, value in summary.items()}
