"""The parameter ``weights``: a name, or a mapping with the binarizer's options."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import make_classification

from rebnn_search.config import Component
from rebnn_search.estimators import ReBNNClassifier
from rebnn_search.training.data import DATASETS
from rebnn_search.training.recipe import dump_recipe

X, Y = make_classification(60, 5, random_state=0)
OPTIONS = {"name": "recu", "tau_start": 0.6, "tau_end": 0.75}
DIGITS = Component("name", "digits", {}, DATASETS["digits"])


def test_options_reach_the_recipe_and_a_recipe_s_options_the_estimator(tmp_path) -> None:  # type: ignore[no-untyped-def]
    given = {"name": "recu", "tau_start": np.float64(0.6), "tau_end": 0.75}
    fitted = clone(ReBNNClassifier(weights=given, width=8, epochs=1, random_state=0)).fit(X, Y)
    assert fitted.recipe_.weights.dump() == OPTIONS
    dump_recipe(tmp_path / "recipe.yaml", fitted.recipe_.model_copy(update={"data": DIGITS}), "of a test")
    again = ReBNNClassifier.from_recipe(tmp_path / "recipe.yaml", random_state=0).fit(X, Y)
    assert again.recipe_.weights == fitted.recipe_.weights
    assert np.array_equal(again.predict_proba(X), fitted.predict_proba(X))


def test_a_wrong_one_is_named() -> None:
    with pytest.raises(ValueError, match=r"weights: tau_end must be above 0.5 and below 1, not 2.0"):
        ReBNNClassifier(weights={"name": "recu", "tau_end": 2}).fit(X, Y)
