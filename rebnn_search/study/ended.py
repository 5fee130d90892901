"""A search's record read from outside: the trials that ended."""

from __future__ import annotations

from datetime import datetime

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial

from rebnn_search.base.secrets import hide_secrets
from rebnn_search.config import UserError
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.study.attributes import PARAMS, RUNS
from rebnn_search.study.record import check_ledger


def ended_trials(folder: SearchFolder, ledger: str | None) -> tuple[list[FrozenTrial], list[float]]:
    """The trials that ended, by number, and when each run of the search began, in seconds since 1970. Nothing is changed.

    Args:
        folder: The search's, which may still run.
        ledger: Database of the Optuna study, of a search that was begun with one.

    Raises:
        UserError: If the record is elsewhere, gone, or cannot be read.
    """
    here = None if ledger is None else hide_secrets(ledger)
    if folder.ledger != here:
        there = f"is in {folder.ledger}: pass --ledger" if folder.ledger else "is its journal: leave --ledger out"
        raise UserError(f"{folder.name}: the ledger of this search {there}")
    if ledger is None and not folder.journal.exists():
        raise UserError(f"{folder.journal}: there is no such file; restore it from a copy")
    if ledger is not None:
        check_ledger(ledger, write=False)
    try:
        storage: BaseStorage = JournalStorage(JournalFileBackend(str(folder.journal))) if ledger is None else RDBStorage(ledger)
        study = optuna.load_study(study_name=folder.name, storage=storage)
        trials, attrs = study.get_trials(deepcopy=False), study.user_attrs
    except Exception as error:  # SQLAlchemy, the database's driver and Optuna each raise their own
        reason = hide_secrets(" ".join([type(error).__name__, *str(error).splitlines()[:1]]))
        raise UserError(f"{folder.journal if ledger is None else f'--ledger {here}'}: cannot be read: {reason}") from None
    runs = [datetime.fromisoformat(run["started"]).timestamp() for run in attrs.get(RUNS, [])]
    return [trial for trial in trials if trial.state.is_finished() and PARAMS in trial.user_attrs], runs
