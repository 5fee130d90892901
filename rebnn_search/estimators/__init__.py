from rebnn_search.estimators._classifier import ReBNNClassifier
from rebnn_search.estimators._search import ReBNNSearchClassifier

__all__ = ["ReBNNClassifier", "ReBNNSearchClassifier"]
