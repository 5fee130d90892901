"""A search: its file, space, ledger, and Ray Tune's side of it.

The package can be called: ``rebnn_search.search(...)`` is `rebnn_search.api.search`, which has the same name.
"""

import importlib
import sys
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        # By name, at the call: the function stands on a floor above.
        return importlib.import_module("rebnn_search.api").search(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable
