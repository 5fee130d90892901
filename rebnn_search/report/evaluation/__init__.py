"""What the chosen network does with the validation samples, where its search's folder is at hand."""

from rebnn_search.report.evaluation._evaluate import evaluate

__all__ = ["evaluate"]
