"""A search's outcome: the leaderboard's rows, the chosen trial and its test accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from rebnn_search.study.ledger import PARAMS, REASON, Ledger
from rebnn_search.study.spec import Params, Search, recipe_value
from rebnn_search.training import Recipe

ORDER = ("COMPLETE", "PRUNED", "RUNNING", "FAIL")
"""A leaderboard's order of states: a trial not trained to its end never stands above one that was."""


@dataclass(frozen=True)
class Row:
    """One trial as the leaderboard shows it. Top-1 and Top-5 in percent; None where there was no report.

    Trials of one ``configuration`` differ in their ``seed`` alone, which is None where each configuration has one trial.
    """

    number: int
    configuration: int
    seed: int | None
    state: str
    params: Params
    recipe: Mapping[str, Any]
    epochs: float
    val_loss: float | None
    val_top1: float | None
    val_top5: float | None
    flip_ratio: float | None
    reason: str | None
    run_id: str | None


@dataclass(frozen=True)
class Best:
    """The chosen trial: its test accuracy in percent (the test split is read for it alone, once) and its recipe's path and its
    packed network's.

    With several seeds a configuration is chosen: ``trials`` are its trials that were trained to their end, the accuracies their
    means, ``test_top1_interval`` half the width of the mean's 95 % interval, ``number``, ``recipe`` and ``model`` those of the first.
    """

    number: int
    test_top1: float
    test_top5: float
    recipe: str
    model: str
    trials: list[int]
    test_top1_interval: float | None = None


@dataclass(frozen=True)
class Result:
    """The outcome of a search, finished or interrupted.

    Attributes:
        rows: The leaderboard, best first.
        untracked: Why tracking lacks some of it, if it does.
        out_of_time: Whether a time budget ended it before it had all its trials.
        best: None while no trial has been trained to its end, or the search was interrupted.
    """

    name: str
    storage: str
    tracking_uri: str
    experiment: str
    parent_run_id: str
    objective: str
    direction: str
    rows: list[Row] = field(default_factory=list)
    best: Best | None = None
    interrupted: bool = False
    untracked: str | None = None
    out_of_time: bool = False

    def dump(self) -> dict[str, Any]:
        """The object that ``--json`` prints; trials by number."""
        return {
            "name": self.name, "storage": self.storage, "tracking_uri": self.tracking_uri, "experiment": self.experiment,
            "parent_run_id": self.parent_run_id, "objective": self.objective, "direction": self.direction,
            "trials": [
                {
                    "number": row.number, "configuration": row.configuration, "seed": row.seed,
                    "state": row.state, "params": row.params, "epochs": row.epochs,
                    "val_loss": row.val_loss, "val_top1": row.val_top1, "val_top5": row.val_top5,
                    "flip_ratio": row.flip_ratio, "run_id": row.run_id,
                }
                for row in sorted(self.rows, key=lambda row: row.number)
            ],
            "best": None if self.best is None else vars(self.best).copy(),
        }  # fmt: skip

    @property
    def groups(self) -> list[list[Row]]:
        """The rows of each configuration, best configuration first."""
        return [list(rows) for _, rows in groupby(self.rows, key=lambda row: row.configuration)]


COLUMNS = ("gamma.strategy", "gamma.value", "optimizer.lr", "scale_init.strategy")
"""Values of the recipe that a leaderboard shows whether or not they vary."""


def effective_value(recipe: Recipe, name: str) -> Any:
    """A recipe's value by its dotted name; None for what ReBNN's alone has where the weights are another's."""
    if recipe.weights != "rebnn" and name.split(".")[0] in ("gamma", "scale_init"):
        return None
    return recipe_value(recipe, name)


def leaderboard(search: Search, ledger: Ledger, run_ids: Mapping[int, str]) -> list[Row]:
    """The rows of every trial that was asked for, best first: complete ones by objective, then the others by their last one.

    With several seeds by configuration: those with every seed complete by their mean, then those that lost some.
    """
    sign = 1.0 if search.spec.objective.direction == "minimize" else -1.0
    metric = search.spec.objective.metric

    def rank(trial: FrozenTrial) -> tuple[int, float, int]:
        value = ledger.summary(trial.number).get(metric, float("inf") * sign)
        return ORDER.index(trial.state.name), sign * value, trial.number

    asked = [t for t in ledger.trials if t.state != TrialState.WAITING and PARAMS in t.user_attrs]
    configurations: dict[int, list[FrozenTrial]] = {}
    for trial in sorted(asked, key=rank):
        configurations.setdefault(search.configuration_of(trial.number), []).append(trial)

    def rank_configuration(trials: list[FrozenTrial]) -> tuple[int, bool, float, int]:
        values = [trial.value or 0.0 for trial in trials if trial.state == TrialState.COMPLETE]
        if not values:
            return rank(trials[0])[0], True, rank(trials[0])[1], trials[0].number
        return 0, len(values) < search.spec.seeds, sign * sum(values) / len(values), trials[0].number

    ordered = sorted(configurations.values(), key=rank_configuration)
    return [_row(search, ledger, trial, run_ids.get(trial.number)) for trials in ordered for trial in trials]


def _row(search: Search, ledger: Ledger, trial: FrozenTrial, run_id: str | None) -> Row:
    summary = ledger.summary(trial.number)
    params = trial.user_attrs[PARAMS]
    recipe = search.recipe(params)
    return Row(
        number=trial.number,
        configuration=search.configuration_of(trial.number),
        seed=search.seed_of(trial.number),
        state=trial.state.name,
        params=params,
        recipe={name: effective_value(recipe, name) for name in dict.fromkeys((*COLUMNS, *search.space))},
        epochs=summary.get("epochs", 0.0),
        val_loss=summary.get("val/loss"),
        val_top1=summary.get("val/top1"),
        val_top5=summary.get("val/top5"),
        flip_ratio=summary.get("oscillation/mean/flip_ratio"),
        reason=trial.user_attrs.get(REASON),
        run_id=run_id,
    )
