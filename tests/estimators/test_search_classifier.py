"""The search classifier: what it tries, keeps and refits."""

import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from rebnn_search.config import Document, validate
from rebnn_search.estimators import ReBNNClassifier, ReBNNSearchClassifier
from rebnn_search.estimators._parameters import IN_MEMORY
from rebnn_search.training import Recipe

X, Y = make_classification(150, 6, random_state=0)
QUICK = ReBNNSearchClassifier(width=16, epochs=4, n_trials=4, random_state=0)


@pytest.fixture(scope="module")
def fitted() -> ReBNNSearchClassifier:
    return clone(QUICK).fit(X, Y)  # type: ignore[no-any-return]


def test_the_results_hold_every_trial_and_the_best_is_refitted(fitted: ReBNNSearchClassifier) -> None:
    results = fitted.search_results_
    space = ["gamma.strategy", "gamma.value", "optimizer.lr", "scale_init.strategy"]
    assert list(results.columns) == ["number", "state", *space, "val_loss", "val_top1", "epochs"]
    assert list(results.number) == [0, 1, 2, 3]
    assert set(results.state) <= {"COMPLETE", "PRUNED"}
    first = results.iloc[0]
    assert (first["gamma.strategy"], first["optimizer.lr"], first["scale_init.strategy"]) == ("flip_ratio", 1e-2, "mean_abs")
    assert (results["gamma.value"].notna() == (results["gamma.strategy"] == "constant")).all()
    best = results[results.state == "COMPLETE"].sort_values("val_loss").iloc[0]
    assert fitted.best_score_ == best.val_loss
    assert fitted.best_params_ == {name: best[name] for name in space if not pd.isna(best[name])}
    assert isinstance(fitted.best_estimator_, ReBNNClassifier)
    recipe = fitted.best_estimator_.recipe_.dump()
    assert recipe["optimizer"]["lr"] == fitted.best_params_["optimizer.lr"]
    assert (recipe["batch_size"], len(fitted.history_)) == (50, 4), "all 150 samples, not the 120 that trials train on"


def test_it_predicts_as_its_best_estimator_which_can_be_fitted_alone(fitted: ReBNNSearchClassifier) -> None:
    probabilities = fitted.predict_proba(X)
    assert fitted.score(X, Y) > 0.7
    assert (probabilities == fitted.best_estimator_.predict_proba(X)).all()
    assert (probabilities == clone(fitted.best_estimator_).fit(X, Y).predict_proba(X)).all()
    assert (probabilities == pickle.loads(pickle.dumps(fitted)).predict_proba(X)).all()


def test_the_same_seed_searches_the_same(fitted: ReBNNSearchClassifier) -> None:
    again = clone(QUICK).fit(X, Y)
    pd.testing.assert_frame_equal(again.search_results_, fitted.search_results_)
    assert (again.predict_proba(X) == fitted.predict_proba(X)).all()
    other = clone(QUICK).set_params(random_state=1).fit(X, Y)
    assert not other.search_results_.equals(fitted.search_results_)


def test_a_space_of_one_s_own_over_values_of_one_s_own() -> None:
    search = ReBNNSearchClassifier(
        space={"network.width": {"choice": [4, 8]}, "gamma.value": {"uniform": [0.0, 0.1]}},
        gamma="constant", gamma_value=0.05, overrides={"network.width": 4, "loss.label_smoothing": 0.1}, epochs=2, n_trials=3,
        metric="val/top1", sampler="random", pruner="none", random_state=0,
    ).fit(X, Y)  # fmt: skip
    assert search.search_results_.loc[0, ["network.width", "gamma.value"]].to_list() == [4, 0.05]
    assert list(search.search_results_.state) == ["COMPLETE"] * 3
    assert search.best_score_ == search.search_results_.val_top1.max()
    recipe = search.best_estimator_.recipe_.dump()
    assert recipe["network"]["width"] == search.best_params_["network.width"]
    assert recipe["gamma"] == {"strategy": "constant", "value": search.best_params_["gamma.value"]}
    assert recipe["loss"]["label_smoothing"] == 0.1


def test_a_hopeless_trial_is_pruned_and_a_diverging_one_fails() -> None:
    space = {"optimizer.lr": {"choice": [1e-2, 1e-7]}}
    pruner = {"name": "median", "n_startup_trials": 1, "n_warmup_steps": 0}
    results = clone(QUICK).set_params(space=space, n_trials=6, pruner=pruner, sampler="random").fit(X, Y).search_results_
    slow = results[results["optimizer.lr"] == 1e-7]
    assert len(slow) > 0
    assert (slow.state == "PRUNED").all()
    assert (slow.epochs < 4).all()
    space = {"optimizer.lr": {"choice": [1e-2, 1e35]}}
    search = clone(QUICK).set_params(space=space, optimizer="sgd", sampler="brute_force", n_trials=2).fit(X, Y)
    assert list(search.search_results_.state) == ["COMPLETE", "FAIL"]
    assert search.best_params_ == {"optimizer.lr": 1e-2}


def test_where_nothing_trains_there_is_nothing_to_refit() -> None:
    search = clone(QUICK).set_params(space={"optimizer.lr": {"choice": [1e35]}}, optimizer="sgd", n_trials=1)
    with pytest.raises(RuntimeError, match="none of 1 trials was trained to its end"):
        search.fit(X, Y)


def test_a_timeout_ends_the_search_after_one_trial_that_was_trained() -> None:
    search = clone(QUICK).set_params(timeout=0, n_trials=50).fit(X, Y)
    assert list(search.search_results_.state) == ["COMPLETE"]
    assert list(search.search_results_.epochs) == [4.0]


def test_in_a_pipeline_under_cross_validation() -> None:
    assert cross_val_score(make_pipeline(StandardScaler(), QUICK), X, Y, cv=2).mean() > 0.6


def test_weights_reach_trials_and_refit() -> None:
    weights = np.random.default_rng(0).integers(0, 3, len(X))
    weighted = clone(QUICK).fit(X, Y, sample_weight=weights)
    repeated = clone(QUICK).fit(X.repeat(weights, 0), Y.repeat(weights))
    pd.testing.assert_frame_equal(weighted.search_results_, repeated.search_results_)
    assert (weighted.predict_proba(X) == repeated.predict_proba(X)).all()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"space": {}}, "nothing varies"),
        ({"space": {"optimizer.rate": {"choice": [1]}}}, "optimizer.rate.*unknown key"),
        ({"space": {"optimizer.lr": {"uniform": [1, 0]}}}, "low must be below high"),
        ({"space": {"gamma.strategy": {"choice": ["none"]}}}, "no such γ-strategy"),
        ({"n_trials": 0}, "trials = 0: input should be greater than or equal to 1"),
        ({"pruner": "gardener"}, "no such pruner"),
        ({"metric": "test/top1"}, "objective.metric"),
    ],
)
def test_a_mistake_is_told_before_anything_is_trained(params: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        clone(QUICK).set_params(**params).fit(X, Y)


def test_one_training_needs_neither_ray_nor_mlflow_nor_optuna_and_a_search_optuna_alone() -> None:
    code = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys(['ray', 'mlflow', 'optuna']))\n"
        "from rebnn_search.estimators import ReBNNClassifier, ReBNNSearchClassifier\n"
        "print(ReBNNClassifier(epochs=1).fit([[0.0], [1.0], [2.0]], [0, 1, 1]).predict([[1.0]]).shape)\n"
        "del sys.modules['optuna']\n"
        "print(len(ReBNNSearchClassifier(epochs=1, n_trials=2).fit([[0.0], [1.0], [2.0]], [0, 1, 1]).search_results_))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, timeout=120, capture_output=True, text=True)
    assert done.stdout == "(1,)\n2\n"


@pytest.mark.parametrize(
    ("params", "space", "expected"),
    [
        (
            {"overrides": {"schedule.warmup_epochs": 1, "optimizer.lr": 0.05}},
            {"schedule.name": {"choice": ["cosine"]}, "optimizer.name": {"choice": ["sgd"]}},
            {"schedule": {"name": "cosine"}, "optimizer": {"name": "sgd"}},
        ),
        (
            {"gamma": "constant", "overrides": {"gamma.value": 1e-3}},
            {"gamma.strategy": {"choice": ["flip_ratio"]}},
            {"gamma": {"strategy": "flip_ratio"}},
        ),
    ],
)
def test_what_is_refitted_is_the_recipe_that_was_judged(
    params: dict[str, object], space: dict[str, object], expected: dict[str, dict[str, object]]
) -> None:
    search = ReBNNSearchClassifier(space=space, width=8, epochs=2, n_trials=1, random_state=0, **params).fit(X, Y)  # type: ignore[arg-type]
    recipe = search.recipe_
    plain = validate(
        Recipe, Document("", {**recipe.dump(), "data": IN_MEMORY, **expected})
    )  # a part chosen by its name alone has the defaults of all else
    for part in expected:
        found, wanted = getattr(recipe, part), getattr(plain, part)
        assert found.name == wanted.name and vars(found.build()) == vars(wanted.build()), part
