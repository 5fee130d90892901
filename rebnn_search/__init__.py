"""Hyperparameter search around ReBNN, the Resilient Binary Neural Network.

``search(...)``, ``curves(...)``, ``SearchResult`` and ``SearchObserver`` are there at first use: importing the package alone imports
neither torch nor Ray.
"""

import importlib

from rebnn_search.base.log_redirect import quiet_imports

__version__ = "0.1.0"
__all__ = ["SearchObserver", "SearchResult", "__version__", "curves", "search"]


def __getattr__(name: str) -> object:
    if name in ("search", "curves", "SearchObserver", "SearchResult"):
        with quiet_imports():
            return getattr(importlib.import_module("rebnn_search.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
