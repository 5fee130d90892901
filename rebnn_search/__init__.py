"""Hyperparameter search around ReBNN, the Resilient Binary Neural Network.

What ``__all__`` names is there at first use: importing the package alone imports neither torch nor Ray.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from rebnn_search.base.errors import UserError
from rebnn_search.base.log_redirect import quiet_imports

if TYPE_CHECKING:
    from rebnn_search.api import SearchObserver, SearchResult, curves, search
    from rebnn_search.export import load_model
    from rebnn_search.training import load_recipe

__version__ = "0.1.0"
__all__ = ["SearchObserver", "SearchResult", "UserError", "__version__", "curves", "load_model", "load_recipe", "search"]

_AT_FIRST_USE = {
    "SearchObserver": "rebnn_search.api",
    "SearchResult": "rebnn_search.api",
    "curves": "rebnn_search.api",
    "load_model": "rebnn_search.export",
    "load_recipe": "rebnn_search.training",
    "search": "rebnn_search.api",
}
"""Where what is imported at first use comes from."""


def __getattr__(name: str) -> object:
    if name in _AT_FIRST_USE:
        with quiet_imports():
            return getattr(importlib.import_module(_AT_FIRST_USE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
