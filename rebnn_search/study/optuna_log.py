"""What Optuna says, kept within bounds where it is called."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import optuna


@contextmanager
def optuna_muted(least: int = optuna.logging.WARNING) -> Iterator[None]:
    """Keep from the user what Optuna says of each trial, of parts that are experimental, and of fixed values: those were checked.

    Args:
        least: What it logs is at least of this level.
    """
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(max(level, least))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            warnings.simplefilter("ignore", UserWarning)
            yield
    finally:
        optuna.logging.set_verbosity(level)
