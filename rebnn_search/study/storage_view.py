"""What every storage has that shows another's trials otherwise."""

from __future__ import annotations

from typing import Any, cast

from optuna.storages import BaseStorage


class StorageView:
    """A storage of Optuna's, as a study uses one, in front of another: what a subclass does not answer itself the other answers.

    Args:
        inner: The storage behind it, or a view of one.
    """

    def __init__(self, inner: BaseStorage | StorageView) -> None:
        self._inner = cast(BaseStorage, inner)  # a view answers all that a storage does

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)
