"""scikit-learn's own checks, all of them: nothing is excused."""

from typing import Any

from sklearn.utils.estimator_checks import parametrize_with_checks

from rebnn_search.estimators import ReBNNClassifier, ReBNNSearchClassifier

ESTIMATORS = [ReBNNClassifier(width=32, epochs=20), ReBNNSearchClassifier(width=32, epochs=10, n_trials=2)]


@parametrize_with_checks(ESTIMATORS)  # type: ignore[untyped-decorator]
def test_scikit_learn_finds_nothing(estimator: Any, check: Any) -> None:
    check(estimator)
