"""The search classifier's search is the command's, kept in memory."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import optuna
import pytest
from sklearn.base import clone
from sklearn.datasets import make_classification

from rebnn_search.base.metrics import IMAGES_PER_SECOND
from rebnn_search.estimators import ReBNNSearchClassifier
from rebnn_search.estimators._study import build_search, run_search
from rebnn_search.execution.controller import Controller
from rebnn_search.execution.events import SearchObserver, TrialTracking
from rebnn_search.execution.serial import SerialExecutor
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.study.attributes import REASON
from rebnn_search.study.ledger import Ledger
from rebnn_search.training import Recipe, Trainer

X, Y = make_classification(150, 6, random_state=0)
QUICK = ReBNNSearchClassifier(width=16, epochs=2, n_trials=4, random_state=0)
RECIPE: dict[str, Any] = {
    "data": {"name": "digits"}, "network": {"name": "mlp", "width": 8, "depth": 1}, "optimizer": {"name": "adam", "lr": 1e-2},
    "epochs": 3, "batch_size": 256, "reports_per_epoch": 1,
}  # fmt: skip
SEARCH: dict[str, Any] = {
    "space": {
        "gamma.strategy": {"choice": ["flip_ratio", "constant"]},
        "gamma.value": {"choice": [0.0, 1e-4], "when": {"gamma.strategy": "constant"}},
        "optimizer.lr": {"log_uniform": [1e-4, 1e-1]},
    },
    "sampler": {"name": "tpe", "n_startup_trials": 3},
    "pruner": {"name": "median", "n_startup_trials": 2, "n_warmup_steps": 0},
    "trials": 8,
}


def record(ledger: Ledger) -> list[Any]:
    """What a ledger has of every trial, less how fast it was."""
    return [
        (
            *(t.number, t.state.name, t.params, t.value, t.intermediate_values, t.user_attrs.get(REASON)),
            {name: value for name, value in ledger.summary(t.number).items() if name != IMAGES_PER_SECOND},
        )
        for t in ledger.trials
    ]


def test_in_memory_and_in_a_folder_a_search_is_the_same(tmp_path: Path) -> None:
    search = build_search(RECIPE, SEARCH)
    kept = run_search(search, Trainer, None)
    folder = SearchFolder(tmp_path)
    ledger = Ledger(folder, search)
    controller = Controller(search, folder, ledger, TrialTracking(), SearchObserver())
    with SerialExecutor() as executor:
        executor.run(controller)
    assert record(kept) == record(ledger)
    assert {state for _, state, *_ in record(kept)} == {"COMPLETE", "PRUNED"}
    assert kept.trials[0].params == {"gamma.strategy": "flip_ratio", "optimizer.lr": 1e-2}, "the recipe's own values come first"


def test_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    clone(QUICK).fit(X, Y)
    assert not list(tmp_path.iterdir())


def test_what_a_trial_raises_is_raised_unless_it_diverged() -> None:
    def broken(recipe: Recipe) -> Trainer:
        raise ZeroDivisionError("in a part of one's own")

    with pytest.raises(ZeroDivisionError, match="of one's own"):
        run_search(build_search(RECIPE, SEARCH), broken, None)


def test_a_search_whose_first_five_trials_all_fail_ends_there() -> None:
    space = {"optimizer.lr": {"choice": [1e35, 1e36]}}
    search = clone(QUICK).set_params(space=space, optimizer="sgd", n_trials=9)
    with pytest.raises(RuntimeError, match=r"none of 5 trials was trained to its end.*the last: diverged: .+ no finite number"):
        search.fit(X, Y)
    assert list(search.search_results_.state) == ["FAIL"] * 5


def test_a_finite_space_tried_whole_ends_the_search() -> None:
    space = {"gamma.strategy": {"choice": ["flip_ratio", "max_gradient"]}}
    results = clone(QUICK).set_params(space=space, sampler="brute_force", n_trials=9).fit(X, Y).search_results_
    assert sorted(results["gamma.strategy"]) == ["flip_ratio", "max_gradient"]


def test_optuna_says_nothing_and_is_as_loud_afterwards_as_before(capfd: pytest.CaptureFixture[str]) -> None:
    before = optuna.logging.get_verbosity()
    try:
        optuna.logging.set_verbosity(optuna.logging.INFO)
        run_search(build_search(RECIPE, {**SEARCH, "sampler": "qmc"}), Trainer, None)  # it warns of parameters with a condition
        assert optuna.logging.get_verbosity() == optuna.logging.INFO
        assert capfd.readouterr() == ("", "")
    finally:
        optuna.logging.set_verbosity(before)
