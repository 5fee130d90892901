"""What Optuna says, kept within bounds where it is called."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import optuna


@contextmanager
def optuna_log_muted(least: int = optuna.logging.WARNING) -> Iterator[None]:
    """Keep Optuna's log to what is at least of a level.

    Setting a level makes every logger of the process forget what it knew, so that it is done once around many calls, not in each.
    """
    level = optuna.logging.get_verbosity()
    if level >= least:
        yield
        return
    optuna.logging.set_verbosity(least)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(level)


@contextmanager
def optuna_muted(least: int = optuna.logging.WARNING) -> Iterator[None]:
    """Keep from the user what Optuna says of each trial, of parts that are experimental, and of fixed values: those were checked.

    Args:
        least: What it logs is at least of this level.
    """
    with optuna_log_muted(least), warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        warnings.simplefilter("ignore", UserWarning)
        yield
