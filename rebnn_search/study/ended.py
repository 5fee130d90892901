"""A search's record read from outside: the trials that ended."""

from __future__ import annotations

from datetime import datetime

from optuna.trial import FrozenTrial

from rebnn_search.storage.folder import SearchFolder
from rebnn_search.study.attributes import PARAMS, RUNS
from rebnn_search.study.record import read_study


def ended_trials(folder: SearchFolder, ledger: str | None) -> tuple[list[FrozenTrial], list[float]]:
    """The trials that ended, by number, and when each run of the search began, in seconds since 1970. Nothing is changed.

    Args:
        folder: The search's, which may still run.
        ledger: Database of the Optuna study, of a search that was begun with one.

    Raises:
        UserError: If the record is elsewhere, gone, or cannot be read.
    """
    study = read_study(folder, ledger)
    trials, attrs = study.get_trials(deepcopy=False), study.user_attrs
    runs = [datetime.fromisoformat(run["started"]).timestamp() for run in attrs.get(RUNS, [])]
    return [trial for trial in trials if trial.state.is_finished() and PARAMS in trial.user_attrs], runs
