"""A search in this process and in memory: ledger, controller and executor as the command has them, without a file."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import optuna
from optuna.trial import TrialState

from rebnn_search.config import Document, UserError, validate
from rebnn_search.execution.controller import Controller
from rebnn_search.execution.events import SearchObserver, TrialTracking
from rebnn_search.execution.serial import SerialExecutor
from rebnn_search.execution.trial_training import recipe_of
from rebnn_search.study.attributes import REASON
from rebnn_search.study.ledger import Ledger
from rebnn_search.study.load import check_against_recipe
from rebnn_search.study.optuna_log import optuna_muted
from rebnn_search.study.search import Search, recipe_value
from rebnn_search.study.spec import Params, SearchSpec
from rebnn_search.training import Recipe, Trainer, TrainingRun
from rebnn_search.training.report_log import TrackedReport

DEFAULT_SPACE: dict[str, Any] = {
    "gamma.strategy": {"choice": ["flip_ratio", "max_gradient", "constant"]},
    "gamma.value": {"choice": [0.0, 1e-5, 1e-4, 1e-3, 1e-2], "when": {"gamma.strategy": "constant"}},
    "optimizer.lr": {"log_uniform": [1e-3, 3e-2]},
    "scale_init.strategy": {"choice": ["mean_abs", "median_abs", "fan_in", "randn_abs"]},
}
"""γ-strategy × learning rate × scaling-factor init."""


def build_search(base: Mapping[str, object], values: Mapping[str, Any]) -> Search:
    """Join a recipe's data with what a search file would hold beside it, and check every choice against the recipe.

    The recipe's own values, as far as the space has them, are the first configuration.

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
    search.fixed = [_own_values(search)]
    return search


def _own_values(search: Search) -> Params:
    base = search.recipe({})
    values: Params = {}
    for name, parameter in search.space.parameters.items():
        value = recipe_value(base, name)
        if search.space.is_active(name, values) and parameter.contains(value):
            values[name] = parameter.canonical(value)
    return values


def run_search(search: Search, make: Callable[[Recipe], Trainer], timeout: float | None) -> Ledger:
    """Run a search's trials one after another, and return its ledger. Deterministic without a timeout.

    Args:
        search: What varies, how it is sampled, pruned and judged.
        make: Makes the trainer of a recipe. What it raises, and what training raises other than that it diverged, ends the search.
        timeout: Seconds after which no trial begins and the running one is pruned, once one trial was trained to its end.
    """
    clock = _Clock(timeout)
    with optuna_muted(optuna.logging.ERROR):  # its warnings are of the sampler that a user chose here, in a terminal's words
        ledger = Ledger(None, search)
        controller = Controller(search, None, ledger, TrialTracking(), clock)
        clock.stop = controller.stop
        with SerialExecutor(lambda task: TrainingRun(make(recipe_of(task))), raises=True) as executor:
            executor.run(controller)
    for trial in ledger.trials:
        if trial.state == TrialState.RUNNING:
            ledger.prune(trial.number, f"timeout = {timeout}")
    return ledger


def none_trained(ledger: Ledger) -> str:
    """What to say where no trial was trained to its end."""
    states = [trial.state.name for trial in ledger.trials]
    reason = ledger.trials[-1].user_attrs.get(REASON)
    return f"none of {len(states)} trials was trained to its end: {states}; the last: {reason}"


class _Clock(SearchObserver):
    """Stops a search that is overdue, once one of its trials was trained to its end."""

    def __init__(self, timeout: float | None) -> None:
        self._end = float("inf") if timeout is None else time.monotonic() + timeout
        self._complete = False
        self.stop: Callable[[], None] = lambda: None

    def reported(self, number: int, report: TrackedReport) -> None:
        """Look at the clock."""
        self._look()

    def finished(self, number: int, state: str, reason: str | None, summary: Mapping[str, float]) -> None:
        """Take in whether the trial was trained to its end, and look at the clock."""
        self._complete = self._complete or state == TrialState.COMPLETE.name
        self._look()

    def _look(self) -> None:
        if self._complete and time.monotonic() >= self._end:
            self.stop()
