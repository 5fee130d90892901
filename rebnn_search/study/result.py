"""A search's outcome: the leaderboard's rows, the chosen trial and its test accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Protocol

from optuna.trial import FrozenTrial, TrialState

from rebnn_search.base.metrics import EPOCHS, FLIP_RATIO, VAL_LOSS, VAL_TOP1, VAL_TOP5
from rebnn_search.study.attributes import PARAMS, PAUSED, REASON
from rebnn_search.study.cost import Cost
from rebnn_search.study.objectives import Goal
from rebnn_search.study.ranking import pareto_front, rank, standing_of
from rebnn_search.study.search import Search
from rebnn_search.study.spec import Params


@dataclass(frozen=True)
class TrialRow:
    """One trial as the leaderboard shows it. Top-1 and Top-5 in percent; None where there was no report.

    Trials of one ``configuration`` differ in their ``seed`` alone, which is None where each configuration has one trial.
    ``values`` has the objectives, and what constraints are about, by name; ``infeasible`` says which constraints were broken;
    ``front`` whether the configuration is on the Pareto front of several objectives.
    """

    number: int
    configuration: int
    seed: int | None
    state: str
    params: Params
    recipe: Mapping[str, object]
    epochs: float
    val_loss: float | None
    val_top1: float | None
    val_top5: float | None
    flip_ratio: float | None
    reason: str | None
    run_id: str | None
    values: Mapping[str, float] = field(default_factory=dict)
    infeasible: str | None = None
    front: bool = False
    waiting: bool = False

    @property
    def shown_state(self) -> str:
        """Its state; or ``INFEASIBLE``, where it broke a constraint and ended for it or was trained to its end all the same; or
        ``WAITING``, where the pruner lets it wait for others.
        """
        if self.infeasible is not None and self.state in ("COMPLETE", "PRUNED"):
            return "INFEASIBLE"
        return "WAITING" if self.waiting else self.state


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
        name: The search's.
        storage: Directory or URI of the search's own folder.
        tracking_uri: MLflow's, without a password.
        experiment: Name of its experiment there.
        parent_run_id: Of its parent run there.
        objective: The metric that trials are judged by, of several the first: ``val/loss`` (nats), ``val/top1``, ``val/top5``
            (percent), or what an objective of its name measures.
        direction: ``minimize`` or ``maximize``.
        rows: The leaderboard, best first.
        best: None while no trial has been trained to its end and kept to the constraints, or the search was interrupted.
        interrupted: Whether it was stopped before its end.
        untracked: Why tracking lacks some of it, if it does.
        out_of_time: Whether a time budget ended it before it had all its trials.
        enough: Why it ended with fewer trials than it might have had, by its ``stop_when``; None if it had them.
        view: Address of its table and charts in MLflow's UI, once that runs; None where it is not known.
        goals: The objectives, the first of which is ``objective``.
        extras: The objectives and what constraints are about, as far as they have no column anyway.
        constraints: As a file writes them.
        data: What was found where the trials' data are read, in words: a line, one of what was left out, and
            one for each trial that found something else.
        compare: Address where the best trials stand beside each other there; None for want of two.
        cost: What it cost so far; None where that is not known.
    """

    name: str
    storage: str
    tracking_uri: str
    experiment: str
    parent_run_id: str
    objective: str
    direction: str
    rows: list[TrialRow] = field(default_factory=list)
    best: Best | None = None
    interrupted: bool = False
    untracked: str | None = None
    out_of_time: bool = False
    enough: str | None = None
    view: str | None = None
    goals: Sequence[Goal] = ()
    extras: Sequence[Goal] = ()
    constraints: Sequence[str] = ()
    cost: Cost | None = None
    compare: str | None = None
    data: Sequence[str] = ()

    @property
    def best_row(self) -> TrialRow | None:
        """The row of the chosen trial."""
        return None if self.best is None else next(row for row in self.rows if row.number == self.best.number)

    @property
    def several(self) -> bool:
        """Whether there are several objectives, and so a Pareto front."""
        return len(self.goals) > 1

    @property
    def none_feasible(self) -> bool:
        """Whether trials were trained to their end, or stopped early, and none that was kept to the constraints."""
        ended = [row for row in self.rows if row.state == "COMPLETE"]
        return any(row.infeasible for row in self.rows) and all(row.infeasible for row in ended)

    def none_chosen(self) -> str:
        """Why a search that was not interrupted has no best trial."""
        if self.none_feasible:
            count = sum(row.infeasible is not None for row in self.rows)
            return f"no trial keeps to the constraints ({', '.join(self.constraints)}), so none is chosen: {count} broke them"
        return "no trial was trained to its end, so there is none to choose"

    def dump(self) -> dict[str, object]:
        """The object that ``--json`` prints; trials by number."""
        return {
            "name": self.name, "storage": self.storage, "tracking_uri": self.tracking_uri, "experiment": self.experiment,
            "parent_run_id": self.parent_run_id, "view": self.view, "compare": self.compare,
            "objective": self.objective, "direction": self.direction, "data": list(self.data),
            "trials": [
                {
                    "number": row.number, "configuration": row.configuration, "seed": row.seed,
                    "state": row.state, "reason": row.reason, "params": row.params, "epochs": row.epochs,
                    "val_loss": row.val_loss, "val_top1": row.val_top1, "val_top5": row.val_top5,
                    "flip_ratio": row.flip_ratio, "run_id": row.run_id, **self._dumped(row),
                }
                for row in sorted(self.rows, key=lambda row: row.number)
            ],
            **({"objectives": [{"name": goal.name, "direction": goal.direction} for goal in self.goals]} if self.several else {}),
            **({"constraints": list(self.constraints)} if self.constraints else {}),
            "best": None if self.best is None else vars(self.best).copy(),
            "cost": None if self.cost is None else self.cost.dump(),
        }  # fmt: skip

    def _dumped(self, row: TrialRow) -> dict[str, object]:
        """What a trial has of several objectives and of constraints."""
        values = {"values": dict(row.values)} if self.several or self.constraints else {}
        front = {"front": row.front} if self.several else {}
        return {**values, **front, **({"infeasible": row.infeasible} if self.constraints else {})}

    @property
    def groups(self) -> list[list[TrialRow]]:
        """The rows of each configuration, best configuration first."""
        return [list(rows) for _, rows in groupby(self.rows, key=lambda row: row.configuration)]


COMPARED = 3
"""Trials that a comparison begins with."""


def compared(groups: Sequence[Sequence[TrialRow]]) -> list[str]:
    """The tracked runs of the best trials, one of each configuration, of those trained to their end."""
    first = [next((row.run_id for row in group if row.state == "COMPLETE" and row.run_id), None) for group in groups]
    return [run_id for run_id in first if run_id is not None][:COMPARED]


COLUMNS = ("gamma.strategy", "gamma.value", "optimizer.lr", "scale_init.strategy")
"""Values of the recipe that a leaderboard shows whether or not they vary."""


class TrialRecord(Protocol):
    """Where the trials of a search are read: `rebnn_search.study.ledger.Ledger`, or its record as it lies there."""

    @property
    def trials(self) -> list[FrozenTrial]:
        """Every trial, by number."""

    def summary(self, number: int) -> dict[str, float]:
        """The headline metrics of a trial's last report; empty before the first."""


def leaderboard(search: Search, ledger: TrialRecord, run_ids: Mapping[int, str]) -> list[TrialRow]:
    """The rows of every trial that was asked for, in the order of `rebnn_search.study.ranking.rank`."""
    objective, seeds = search.spec.objective, search.spec.seeds
    asked = {t.number: t for t in ledger.trials if t.state != TrialState.WAITING and PARAMS in t.user_attrs}
    standings = [standing_of(search, trial, ledger.summary(trial.number)) for trial in asked.values()]
    front = pareto_front(standings, objective, seeds)
    return [
        _row(search, ledger, asked[number], run_ids.get(number), number in front)
        for group in rank(standings, objective, seeds)
        for number in group
    ]


def _row(search: Search, ledger: TrialRecord, trial: FrozenTrial, run_id: str | None, front: bool) -> TrialRow:
    summary = ledger.summary(trial.number)
    params = trial.user_attrs[PARAMS]
    return TrialRow(
        number=trial.number,
        configuration=search.configuration_of(trial.number),
        seed=search.seed_of(trial.number),
        state=trial.state.name,
        params=params,
        recipe=search.recipe_values(params, dict.fromkeys((*COLUMNS, *search.space))),
        epochs=summary.get(EPOCHS, 0.0),
        val_loss=summary.get(VAL_LOSS),
        val_top1=summary.get(VAL_TOP1),
        val_top5=summary.get(VAL_TOP5),
        flip_ratio=summary.get(FLIP_RATIO),
        reason=trial.user_attrs.get(REASON),
        run_id=run_id,
        values=search.values(summary),
        infeasible=search.broken(summary, ended=trial.state == TrialState.COMPLETE),
        front=front,
        waiting=trial.state == TrialState.RUNNING and trial.user_attrs.get(PAUSED) is not None,
    )
