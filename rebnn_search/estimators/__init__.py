"""scikit-learn estimators: one training, and a search with a refit, in this process."""

from rebnn_search.estimators._classifier import ReBNNClassifier
from rebnn_search.estimators._search import ReBNNSearchClassifier

__all__ = ["ReBNNClassifier", "ReBNNSearchClassifier"]
