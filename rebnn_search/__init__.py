"""Hyperparameter search around ReBNN, the Resilient Binary Neural Network."""

__version__ = "0.1.0"
