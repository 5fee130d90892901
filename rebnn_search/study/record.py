"""Where the record of a search is kept: its Optuna study in the folder's journal or a database, opened and checked to be its own."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

from rebnn_search.base.secrets import hide_secrets
from rebnn_search.config import UserError
from rebnn_search.config.database import check_server, check_sqlite
from rebnn_search.storage.begun import holds_trial
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.study.optuna_log import optuna_muted


def check_ledger(url: str, *, write: bool = True) -> None:
    """See that ``--ledger`` names a database that can be used, before anything is written.

    Args:
        url: The database's.
        write: Whether it will be written to; otherwise it must be there.

    Raises:
        UserError: If it is no database's URL, is damaged or another program's, or nothing answers there.
    """
    from sqlalchemy.engine import make_url  # a search without a database need not wait for it
    from sqlalchemy.exc import ArgumentError

    option = f"--ledger {hide_secrets(url)}"
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise UserError(
            f"{option}: expected a database's URL, as sqlite:///study.db or postgresql://user@host/optuna"
        ) from None
    if parsed.get_backend_name() == "sqlite":
        if parsed.database in (None, "", ":memory:"):
            raise UserError(f"{option}: would be kept in memory alone: name a file, as sqlite:///study.db")
        path = Path(str(parsed.database))
        check_sqlite(path, option=option, owner="Optuna", table="version_info", column="schema_version", write=write)
        return
    check_server(url, option)


def open_record(folder: SearchFolder, url: str | None) -> BaseStorage:
    """Open the storage of a search's study.

    Args:
        folder: Where the search lives.
        url: Database that holds the study; None for the journal in the folder.

    Raises:
        UserError: If the journal of a search that was begun is gone or damaged before its last line, or the database cannot be
            used, or is not the one that the search was begun with, or holds another search's study of this name.
    """
    begun = folder.search_file.exists()
    here = None if url is None else hide_secrets(url)
    if begun:
        _check_place(folder, here)
    try:
        with optuna_muted():
            storage = _journal(folder, begun) if url is None else _database(url)
            names = {study.study_name for study in storage.get_all_studies()}
    except (UserError, OSError):
        raise
    except Exception as error:  # SQLAlchemy, the database's driver and Optuna each raise their own
        reason = hide_secrets(" ".join([type(error).__name__, *str(error).splitlines()[:1]]))
        if url is None:
            raise UserError(f"{folder.journal}: is damaged ({reason}); restore it from a copy") from error
        raise UserError(f"--ledger {here}: cannot be used: {reason}") from error
    if begun and folder.name not in names:
        raise UserError(f"{folder.name}: {lost(folder, url, names)}")
    if not begun and folder.name in names:
        study = storage.get_study_id_from_name(folder.name)
        if storage.get_all_trials(study, deepcopy=False):
            raise UserError(f"--ledger {here}: already holds a study named {folder.name}: choose another --name")
        storage.delete_study(study)  # of a search that was stopped before its first trial
    return storage


@contextmanager
def explain_database_errors(url: str | None) -> Iterator[None]:
    """Turn what a search's database answers no more into a message; nothing happens without one.

    Raises:
        UserError: Names the database, and what to do.
    """
    try:
        yield
    except StorageInternalError as error:
        if url is None:
            raise
        cause = error.__cause__ or error
        reason = hide_secrets(" ".join([type(cause).__name__, *str(cause).splitlines()[:1]]))
        raise UserError(
            f"--ledger {hide_secrets(url)}: answers no more: {reason}; once it does, go on with --resume"
        ) from error


def _check_place(folder: SearchFolder, ledger: str | None) -> None:
    if folder.ledger != ledger:
        there = f"is in {folder.ledger}: pass --ledger" if folder.ledger else "is its journal: leave --ledger out"
        raise UserError(f"{folder.name}: the ledger of this search {there}")


def read_study(folder: SearchFolder, url: str | None = None) -> optuna.Study:
    """Open the study of a search, which may be running, to be read alone: nothing is written and nothing mended.

    Args:
        folder: Where the search lives.
        url: Database that holds the study; None for the journal in the folder.

    Raises:
        UserError: If the record is elsewhere, gone, or cannot be read.
    """
    here = None if url is None else hide_secrets(url)
    _check_place(folder, here)
    if url is None and not folder.journal.exists():
        raise UserError(f"{folder.journal}: there is no such file; restore it from a copy")
    if url is not None:
        check_ledger(url, write=False)
    try:
        with optuna_muted():
            storage: BaseStorage = JournalStorage(JournalFileBackend(str(folder.journal))) if url is None else _database(url)
            return optuna.load_study(study_name=folder.name, storage=storage)
    except Exception as error:  # SQLAlchemy, the database's driver and Optuna each raise their own
        reason = hide_secrets(" ".join([type(error).__name__, *str(error).splitlines()[:1]]))
        raise UserError(f"{folder.journal if url is None else f'--ledger {here}'}: cannot be read: {reason}") from None


def _database(url: str) -> RDBStorage:
    # Reports may be minutes apart: whatever lies between closes idle connections, or the server was started again.
    return RDBStorage(url, engine_kwargs={"pool_pre_ping": True})


def _journal(folder: SearchFolder, begun: bool) -> JournalStorage:
    journal = folder.journal
    if begun and not journal.exists():
        raise UserError(f"{folder.name}: {lost(folder, None)}")
    repair(journal)
    if not begun and journal.exists():
        # Left by a start that was killed before it wrote search.yaml; with trials it is more than that.
        if holds_trial(journal.read_bytes().splitlines(keepends=True)):
            raise UserError(f"{folder.path}: holds the record of a search, but not its search.yaml; restore that from a copy")
        journal.unlink()
    return JournalStorage(JournalFileBackend(str(journal), JournalLock(str(journal))))


class JournalLock(JournalFileSymlinkLock):
    """Optuna's lock of a journal, whose "did not possess lock" does not hide what went wrong: a full disk, or Ctrl-C."""

    def acquire(self) -> bool:
        """Lock, and wait for whoever has it."""
        try:
            return super().acquire()
        except (OSError, RuntimeError) as error:
            raise _first(error) from None

    def release(self) -> None:
        """Unlock.

        Raises:
            OSError: If the disk does not take it.
        """
        try:
            super().release()
        except (OSError, RuntimeError) as error:
            raise _first(error) from None


def _first(error: BaseException) -> BaseException:
    """What went wrong first, of what went wrong in dealing with it."""
    while error.__context__ is not None and isinstance(error, (OSError, RuntimeError)):
        error = error.__context__
    return error


def where(folder: SearchFolder, url: str | None) -> str:
    """The record's place in words."""
    return str(folder.journal) if url is None else f"--ledger {hide_secrets(url)}"


def lost(folder: SearchFolder, url: str | None, others: Collection[str] = ()) -> str:
    """What to say of a search whose record is gone."""
    holds = f"holds the record of {', '.join(sorted(others))} in its place" if others else "holds no record of it any more"
    return (
        f"{where(folder, url)} {holds}, and without it the search cannot be continued. Restore it from a copy"
        f"{'' if folder.remote is None else ' of the object store'}, or begin anew: leave --resume out and give another --name "
        f"(what was trained stays in {folder.trials} and in MLflow)"
    )


def repair(journal: Path) -> None:
    """Cut off a last journal line that a crash left torn, and the lock of a dead writer.

    Raises:
        UserError: If another line is damaged: the file was edited, or the disk lost part of it.
    """
    for lock in journal.parent.glob(f"{journal.name}.lock*"):
        lock.unlink(missing_ok=True)
    if not journal.exists():
        return
    data = journal.read_bytes()
    lines = data.splitlines(keepends=True)
    good = 0
    for number, line in enumerate(lines, start=1):
        try:
            json.loads(line)
            whole = line.endswith(b"\n")
        except ValueError:
            whole = False
        if not whole and number < len(lines):
            raise UserError(f"{journal}:{number}: the journal is damaged here, before its last line; restore it from a copy")
        if whole:
            good += len(line)
    if good < len(data):
        with journal.open("r+b") as file:
            file.truncate(good)
            os.fsync(file.fileno())
