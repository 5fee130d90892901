"""The end of a search: the chosen trial, its test accuracy, its recipe, and what the parent run says."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import partial
from statistics import fmean

import yaml
from optuna.trial import FrozenTrial

from rebnn_search.base.files import write_atomically
from rebnn_search.base.layout import SEARCH_FILE
from rebnn_search.base.metrics import (
    BEST,
    CHOSEN_TEST_TOP1,
    CHOSEN_TEST_TOP5,
    CHOSEN_TRIAL,
    CHOSEN_VAL_LOSS,
    CHOSEN_VAL_TOP1,
    CHOSEN_VAL_TOP5,
)
from rebnn_search.base.secrets import hide_secrets
from rebnn_search.config import UserError
from rebnn_search.execution.data_seen import DATA_TAG, lines_of
from rebnn_search.execution.executor import Executor
from rebnn_search.execution.model import log_model, model_file, packed
from rebnn_search.execution.parent_run import ParentRun
from rebnn_search.execution.run_description import LONGEST, run_description
from rebnn_search.execution.task import owner_of
from rebnn_search.execution.trial_training import device_of
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.storage.locate import checkpoints_of, folder_here
from rebnn_search.storage.object_store import StoredCheckpoints
from rebnn_search.study.attributes import PARAMS, RUNS
from rebnn_search.study.cost import Cost
from rebnn_search.study.estimate import estimate
from rebnn_search.study.ledger import Ledger
from rebnn_search.study.result import Best, Result, compared, leaderboard
from rebnn_search.study.search import Search
from rebnn_search.study.stopping import reason_to_stop, trials_left
from rebnn_search.study.table import markdown
from rebnn_search.tracking import NOTE_TAG, Runs, compare_link, view_link
from rebnn_search.training import Recipe, Trainer, dump_recipe
from rebnn_search.training.run import trainer_state

TEST = "test"
"""Note in the ledger: accuracy on the test split by trial number, for each trial that was ever chosen."""

COST_TAG = "cost"
"""Tag of the parent run: what the search cost, in words."""


def settled(search: Search, ledger: Ledger) -> bool:
    """Whether nothing is left to train, and nothing to evaluate of what is best."""
    if trials_left(search, ledger.asked, reason_to_stop(search, ledger)) or not all(
        trial.state.is_finished() for trial in ledger.trials
    ):
        return False
    return {str(trial.number) for trial in ledger.best} <= (ledger.noted(TEST) or {}).keys()


def choose(search: Search, folder: SearchFolder, ledger: Ledger, executor: Executor) -> Best | None:
    """Choose the best trial, read the test split for it (unless that was done before), and write its recipe.

    Returns:
        None if no trial was trained to its end and kept to the constraints.

    Raises:
        UserError: If the chosen trial's checkpoint is gone.
    """
    trials = ledger.best
    if not trials:
        return None
    known: dict[str, dict[str, float]] = ledger.noted(TEST) or {}
    for trial in trials:
        if str(trial.number) not in known:
            owner = owner_of(ledger.search_id, trial.number, ledger.params(trial.number))
            known[str(trial.number)] = _test(search, folder, trial, owner, executor)
            ledger.note(TEST, known)
    first, scores = trials[0], [known[str(trial.number)] for trial in trials]
    top1, top5 = estimate([score["top1"] for score in scores]), estimate([score["top5"] for score in scores])
    value = estimate([trial.values[0] for trial in trials])
    assert top1 is not None and top5 is not None and value is not None
    comment = (
        f"Best trial of {folder.name}: #{first.number}, {search.spec.objective.metric} {value.text('.4f')} on validation; "
        f"Top-1 {top1.text('.2f')} % on test{f' (n = {top1.n} seeds)' if search.spec.seeds > 1 else ''}."
    )
    recipe = Recipe.model_validate(search.recipe_data(first.user_attrs[PARAMS], first.number))
    dump_recipe(folder.best_recipe, recipe, comment)
    numbers = [trial.number for trial in trials]
    if model_file(folder, first.number).exists():
        write_atomically(folder.model, model_file(folder, first.number).read_bytes())
    return Best(
        number=first.number,
        test_top1=top1.mean,
        test_top5=top5.mean,
        recipe=str(folder.best_recipe.absolute()),
        model=str(folder.model.absolute()),
        trials=numbers,
        test_top1_interval=top1.half_width,
    )


def _test(search: Search, folder: SearchFolder, trial: FrozenTrial, owner: str, executor: Executor) -> dict[str, float]:
    data = search.recipe_data(trial.user_attrs[PARAMS], trial.number)
    device = device_of(search.spec.resources.gpus_per_worker)
    found = executor.call(
        partial(_evaluate_test, data, trial.number, owner, str(folder.path.absolute()), folder.remote, device)
    )
    if found is None:
        raise UserError(f"{folder.checkpoints(trial.number)}: the checkpoint of the best trial, #{trial.number}, is gone")
    scores, model = found
    write_atomically(model_file(folder, trial.number), model)
    return scores


Tested = tuple[dict[str, float], bytes] | None
"""Scores and packed model of a trial; None where its checkpoint is gone."""


def _evaluate_test(
    data: dict[str, object], number: int, owner: str, path: str, remote: str | None, device: str | None
) -> Tested:
    folder = folder_here(path, remote)
    checkpoints = checkpoints_of(folder, number, owner)
    stored = checkpoints if isinstance(checkpoints, StoredCheckpoints) else None
    try:
        found = checkpoints.latest()
    except OSError:
        if stored is None or stored.away is None:
            raise
        found = None
    if found is None:
        if stored is not None and stored.away is not None:
            raise UserError(f"{hide_secrets(stored.uri)}: cannot be read: {stored.away}; once it can, go on with --resume")
        return None
    trainer = Trainer(Recipe.model_validate(data), device=device, workspace=folder.path)
    trainer.load_state_dict(trainer_state(found[1]))
    return trainer.evaluate("test"), packed(trainer)


@dataclass(frozen=True)
class Ending:
    """How a run of a search ended.

    Attributes:
        best: The chosen trial; None where none can be chosen, or the search was stopped.
        interrupted: Whether it is to be resumed.
        out_of_time: Whether a time budget ended it before it had all its trials.
        enough: Why it ended with fewer trials than it might have had, by its ``stop_when``; None if it had them.
        failure: What the user is told in place of a result; None where there is nothing wrong.
        cost: What the search cost, all its runs together.
    """

    best: Best | None
    interrupted: bool = False
    out_of_time: bool = False
    enough: str | None = None
    failure: str | None = None
    cost: Cost | None = None


def outcome(search: Search, folder: SearchFolder, ledger: Ledger, parent: ParentRun, runs: Runs, ending: Ending) -> Result:
    """The search's result as things stand."""
    uri = hide_secrets(parent.uri)
    made = Result(
        name=folder.name,
        storage=hide_secrets(folder.address),
        tracking_uri=uri,
        experiment=parent.experiment,
        parent_run_id=runs.parent_id,
        objective=search.spec.objective.metric,
        direction=search.spec.objective.direction,
        rows=leaderboard(search, ledger, runs.children),
        best=ending.best,
        interrupted=ending.interrupted,
        view=view_link(uri, runs.experiment_id, runs.search_id),
        goals=search.goals,
        extras=search.extras,
        constraints=[str(limit) for limit in search.limits],
        cost=ending.cost,
        out_of_time=ending.out_of_time,
        enough=ending.enough,
        data=lines_of(ledger),
    )
    return replace(made, compare=compare_link(uri, runs.experiment_id, compared(made.groups)))


def publish(search: Search, folder: SearchFolder, ledger: Ledger, parent: ParentRun, result: Result) -> None:
    """Write the result beside the search and send it to the parent run, and end that."""
    if not result.interrupted:
        write_atomically(folder.result_file, json.dumps(result.dump(), indent=1))
    state = "INTERRUPTED" if result.interrupted else "FINISHED"
    metrics = {} if result.best is None else _best_metrics(result)
    tags = {}
    if result.cost is not None:
        metrics, tags = {**metrics, **result.cost.metrics()}, {COST_TAG: result.cost.text()}
    if result.data:
        tags[DATA_TAG] = "\n".join(result.data)[:LONGEST]
    history = ledger.noted(RUNS)

    def send(runs: Runs) -> None:
        if not runs.parent_id:  # it was stopped before its first trial
            return
        for row in result.rows:
            if row.state == "RUNNING" and row.number in runs.children:
                runs.end(runs.children[row.number], "INTERRUPTED", {}, {})
        resolved = yaml.safe_dump(search.dump(), sort_keys=False, allow_unicode=True)
        runs.client.log_text(runs.parent_id, resolved, SEARCH_FILE)
        runs.client.log_dict(runs.parent_id, history, "runs.json")
        runs.client.log_text(runs.parent_id, markdown(result), "leaderboard.md")
        # By now every trial has its run; the result was made before that.
        rows = [replace(row, run_id=runs.children.get(row.number)) for row in result.rows]
        runs.client.set_tag(runs.parent_id, NOTE_TAG, run_description(replace(result, rows=rows), runs.experiment_id))
        if result.best is not None:
            runs.client.log_artifact(runs.parent_id, result.best.recipe)
            if folder.model.exists():
                log_model(runs, parent.uri, folder.model, result.best.number)
        runs.end(runs.parent_id, state, tags, metrics)

    parent.tracker.finish(send)


def _best_metrics(result: Result) -> dict[str, float]:
    best = result.best
    assert best is not None
    rows = [row for row in result.rows if row.number in best.trials]
    metrics = {CHOSEN_TRIAL: float(best.number), CHOSEN_TEST_TOP1: best.test_top1, CHOSEN_TEST_TOP5: best.test_top5}
    values = {
        CHOSEN_VAL_LOSS: [row.val_loss for row in rows], CHOSEN_VAL_TOP1: [row.val_top1 for row in rows],
        CHOSEN_VAL_TOP5: [row.val_top5 for row in rows],
        **{BEST + goal.name: [row.values.get(goal.name) for row in rows] for goal in result.extras},
    }  # fmt: skip
    known = {name: [value for value in given if value is not None] for name, given in values.items()}
    return metrics | {name: fmean(given) for name, given in known.items() if given}
