"""A search in this process: the study asks and prunes, each trial is trained here and now."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from rebnn_search.config import Document, UserError, validate
from rebnn_search.study.pruners import build_pruner
from rebnn_search.study.ranking import Standing, rank
from rebnn_search.study.samplers import sampler_factory
from rebnn_search.study.spec import Params, Search, SearchSpec, check_against_recipe, recipe_value
from rebnn_search.training import Diverged, Recipe, Report, Trainer

DEFAULT_SPACE: dict[str, Any] = {
    "gamma.strategy": {"choice": ["flip_ratio", "max_gradient", "constant"]},
    "gamma.value": {"choice": [0.0, 1e-5, 1e-4, 1e-3, 1e-2], "when": {"gamma.strategy": "constant"}},
    "optimizer.lr": {"log_uniform": [1e-3, 3e-2]},
    "scale_init.strategy": {"choice": ["mean_abs", "median_abs", "fan_in", "randn_abs"]},
}
"""γ-strategy × learning rate × scaling-factor init."""


@dataclass(frozen=True)
class Outcome:
    """One trial, ended.

    Attributes:
        number: Of the trial, from 0.
        state: ``COMPLETE``, ``PRUNED`` or ``FAIL``.
        params: The configuration.
        report: The last report; None where training diverged before one.
    """

    number: int
    state: str
    params: Params
    report: Report | None


def build_search(base: Mapping[str, Any], values: Mapping[str, Any]) -> Search:
    """Join a recipe's data with what a search file would hold beside it, and check every choice against the recipe.

    Raises:
        ValueError: Naming for each mistake the key, its value and what is allowed.
    """
    if base.get("train_on", "train") != "train" or "train_on" in values["space"]:
        raise ValueError(
            "train_on: a search judges its trials by held-out samples, so none may train on them; the best configuration is trained "
            "on all samples in the end"
        )
    document = Document("parameters", {"recipe": "", **values})
    try:
        search = Search(validate(SearchSpec, document), base, [])
        check_against_recipe(search, document)
    except UserError as error:
        raise ValueError(str(error)) from None
    return search


def run_study(search: Search, make: Callable[[Recipe], Trainer], timeout: float | None) -> list[Outcome]:
    """Run a search's trials one after another.

    The first is the recipe's own values, as far as the space has them. Deterministic without a timeout. A sampler that runs out of
    configurations ends the search.

    Args:
        search: What varies, how it is sampled, pruned and judged; ``search.spec.trials`` in all.
        make: Makes the trainer of a recipe.
        timeout: Seconds after which no trial begins and the running one is pruned, once one trial was trained to its end.
    """
    metric, began = search.spec.objective.metric, time.monotonic()
    make_sampler = sampler_factory(search.spec.sampler, search.spec.sampler_seed)
    outcomes: list[Outcome] = []

    def overdue() -> bool:
        late = timeout is not None and time.monotonic() - began > timeout
        return late and any(_complete(outcome) for outcome in outcomes)

    def train(trial: optuna.Trial) -> float:
        params = search.space.suggest(trial)
        log: list[Report] = []
        state = TrialState.FAIL
        try:
            value = _train(make(search.recipe(params)), trial, metric, overdue, log)
            state = TrialState.COMPLETE
        except optuna.TrialPruned:
            state = TrialState.PRUNED
            raise
        finally:
            outcomes.append(Outcome(trial.number, state.name, params, log[-1] if log else None))
        return value

    def between(study: optuna.Study, trial: FrozenTrial) -> None:
        study.sampler = make_sampler(trial.number + 1)
        if overdue():
            study.stop()

    with _quiet():
        study = optuna.create_study(
            direction=search.spec.objective.direction, pruner=build_pruner(search.spec.pruner), sampler=make_sampler(0)
        )
        study.enqueue_trial(_own_values(search))
        study.optimize(train, n_trials=search.spec.trials, catch=Diverged, callbacks=[between])
    return outcomes


def best(search: Search, outcomes: list[Outcome]) -> Outcome | None:
    """The best trial trained to its end, the earlier of two equal ones; None if there is none."""
    metric = search.spec.objective.metric
    standings = [Standing(o.number, o.number, o.state, o.report.metrics[metric]) for o in outcomes if _complete(o) and o.report]
    ranked = rank(standings, search.spec.objective)
    return outcomes[ranked[0][0]] if ranked else None


def _complete(outcome: Outcome) -> bool:
    return outcome.state == TrialState.COMPLETE.name


def _own_values(search: Search) -> Params:
    base = search.recipe({})
    values: Params = {}
    for name, parameter in search.space.parameters.items():
        value = recipe_value(base, name)
        if search.space.is_active(name, values) and parameter.contains(value):
            values[name] = parameter.canonical(value)
    return values


def _train(trainer: Trainer, trial: optuna.Trial, metric: str, overdue: Callable[[], bool], log: list[Report]) -> float:
    """Train to the end, writing the reports to the log; return the last one's metric."""
    try:
        while not trainer.finished:
            log.append(trainer.next_report())
            trial.report(log[-1].metrics[metric], log[-1].step)
            if not trainer.finished and (trial.should_prune() or overdue()):
                raise optuna.TrialPruned
    finally:
        trainer.close()
    return log[-1].metrics[metric]


@contextmanager
def _quiet() -> Iterator[None]:
    # A line for each trial, or a traceback for one that diverged, is for a terminal; the table says it. That a part is
    # experimental is for who chooses it in a study of their own.
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            warnings.simplefilter("ignore", UserWarning)
            yield
    finally:
        optuna.logging.set_verbosity(level)
