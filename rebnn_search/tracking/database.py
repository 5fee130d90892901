"""MLflow's SQLite file: made, or brought up to this MLflow's schema, aside, so that a kill at any moment leaves it as it was.

MLflow itself does both in place, statement by statement; a file that a kill left between two statements it can neither use nor
mend (``duplicate column name``).
"""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from rebnn_search.config import UserError
from rebnn_search.config.database import take_write_lock

SETTLE_SECONDS = 2.0
"""A file whose schema stays the same for so long is not being made by another process."""
BUSY_SECONDS = 20.0
"""How long a database that another process is writing to is waited for, as MLflow does."""


def prepare_database(path: Path) -> None:
    """Make an SQLite file a database that this MLflow can use; one that is so already is only looked at.

    A new one is made under another name and linked to its own. One of an older MLflow is migrated in a copy, whose content then
    replaces it in one transaction; as it was, it is kept beside. One that was left half made and holds no run is set aside; a
    line on stderr tells of both.

    Args:
        path: The file; its directory is there.

    Raises:
        UserError: If the file is no database, another program's or a newer MLflow's, cannot be read or written, or was left half
            migrated with runs in it.
    """
    with _explained(path):
        state = _state(path)
        if state is not None and state.current:
            return
        lock = path.with_name(f".{path.name}.lock")
        with FileLock(lock):
            try:
                for left in path.parent.glob(f".{path.name}.*.new*"):
                    left.unlink(missing_ok=True)  # of a process that was killed
                _prepare(path)
            finally:
                lock.unlink(missing_ok=True)


def what_preparing_does(path: Path) -> str | None:
    """What `prepare_database` would do to a file, in words, from looking at it alone; None of one that can be used as it is.

    One that a crash left half made is not told apart from one of an older MLflow.

    Raises:
        UserError: If it is no database, another program's or a newer MLflow's, or cannot be read.
    """
    with _explained(path):
        state = _state(path)
        if state is None or not state.tables:
            return "be made"
        if state.current:
            return None
        _check_own(path, state)
        return "be brought to this MLflow's schema"


def check_writable(path: Path, seconds: float = BUSY_SECONDS) -> None:
    """See that an SQLite file can be written.

    Raises:
        UserError: If it is read-only, or locked by another process for so long.
    """
    with _explained(path):
        take_write_lock(path, seconds)


@dataclass(frozen=True)
class _State:
    tables: frozenset[str]
    revision: str | None
    schema: int
    """SQLite's count of changes of the schema."""

    @property
    def current(self) -> bool:
        from mlflow.store.db import utils

        return self.revision == utils._get_latest_schema_revision() and self.tables >= set(utils.Base.metadata.tables)


def _state(path: Path) -> _State | None:
    """The schema of a file; None where there is none, or it is empty."""
    if not path.exists() or path.stat().st_size == 0:
        return None
    with closing(sqlite3.connect(path, timeout=BUSY_SECONDS)) as database:
        tables = frozenset(name for (name,) in database.execute("select name from sqlite_master where type = 'table'"))
        revision = None
        if "alembic_version" in tables:
            (revision,) = database.execute("select version_num from alembic_version").fetchone() or (None,)
        (schema,) = database.execute("pragma schema_version").fetchone()
    return _State(tables, revision, schema)


def _prepare(path: Path) -> None:
    state = _settled(path)
    if state is not None and state.current:
        return  # another process was faster
    aside = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        if state is None or not state.tables:
            _make(aside)
            _link(aside, path)
            return
        _check_own(path, state)
        with closing(sqlite3.connect(path, timeout=BUSY_SECONDS)) as old, closing(sqlite3.connect(aside)) as new:
            old.backup(new)
            seen = old.execute("pragma data_version").fetchone()
            try:
                _make(aside)
            except sqlite3.OperationalError:
                raise
            except Exception as error:
                if _holds_something(old, state):
                    reason = str(getattr(error, "orig", error)).splitlines()[0]
                    raise UserError(
                        f"{path}: cannot be migrated from revision {state.revision} to this MLflow's schema ({reason}): a migration "
                        "was cut off in it. Take its backup, or name a new file: --resume sends all that a search has reported there"
                    ) from error
            else:
                _replace(path, old, aside, state, seen)
                return
        aside.unlink()
        _make(aside)
        broken = _free_name(path, "broken")
        path.rename(broken)
        for ending in ("-journal", "-wal", "-shm"):  # what belongs to the old file must not be taken for the new one's
            if (beside := path.with_name(path.name + ending)).exists():
                beside.rename(broken.with_name(broken.name + ending))
        _link(aside, path)
        _say(f"{path}: was left half made, without a run in it; begun anew, the old file is {broken.name}")
    finally:
        aside.unlink(missing_ok=True)


def _settled(path: Path) -> _State | None:
    """The state, once it no longer changes: MLflow's own commands may be making the file at this moment."""
    state = _state(path)
    while state is not None and state.tables and not state.current:
        time.sleep(SETTLE_SECONDS)
        before, state = state, _state(path)
        if state == before:
            break
    return state


def _make(path: Path) -> None:
    """Create MLflow's tables in a file, or migrate those that are there. Nothing else uses the file; it is on disk at the end.

    Raises:
        sqlite3.OperationalError: If the disk does not take it.
        SQLAlchemyError: If what is there is half made.
    """
    from mlflow.store.db import utils
    from sqlalchemy import event
    from sqlalchemy.exc import DBAPIError

    engine = utils.create_sqlalchemy_engine(f"sqlite:///{path}")

    @event.listens_for(engine, "connect")  # type: ignore[untyped-decorator, unused-ignore]
    def hurry(connection: Any, record: Any) -> None:
        connection.execute("pragma synchronous = off")

    state = _state(path)
    try:
        if state is None or state.revision is None:
            utils._initialize_tables(engine)
        else:
            utils._upgrade_db(engine)
    except DBAPIError as error:
        if isinstance(error.orig, sqlite3.OperationalError) and error.orig.sqlite_errorcode & 0xFF != sqlite3.SQLITE_ERROR:
            raise error.orig from None  # no fault of the schema's
        raise
    finally:
        engine.dispose()
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _link(aside: Path, path: Path) -> None:
    """Give the file its name, unless another process has made one of that name meanwhile."""
    if path.exists() and path.stat().st_size == 0:
        path.unlink()
    try:
        path.hardlink_to(aside)
    except FileExistsError:
        return
    except OSError:  # a file system without links; the lock keeps this program's other processes out
        aside.rename(path)
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check_own(path: Path, state: _State) -> None:
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError
    from mlflow.store.db import utils

    if state.revision is None:
        if not {"experiments", "runs"} & state.tables:
            raise UserError(f"{path}: is another program's database ({', '.join(sorted(state.tables)[:3])}): name another file")
        return
    try:
        ScriptDirectory.from_config(utils._get_alembic_config("")).get_revision(state.revision)
    except CommandError:
        raise UserError(
            f"{path}: is another program's database, or a newer MLflow's (its revision {state.revision} is unknown): name another "
            "file, or install that MLflow"
        ) from None


def _holds_something(database: sqlite3.Connection, state: _State) -> bool:
    """Whether a database has runs, models or experiments other than the one MLflow makes."""
    queries = {
        "experiments": "select 1 from experiments where experiment_id <> 0",
        "runs": "select 1 from runs",
        "registered_models": "select 1 from registered_models",
    }
    return any(table in state.tables and database.execute(query).fetchone() is not None for table, query in queries.items())


def _replace(path: Path, old: sqlite3.Connection, aside: Path, state: _State, seen: tuple[int]) -> None:
    """Put the migrated content into the file, in one transaction, so that processes which have it open see it too."""
    kept = _free_name(path, f"{state.revision}.bak") if _holds_something(old, state) else None
    if kept is not None:
        with closing(sqlite3.connect(kept)) as backup:
            old.backup(backup)
    with closing(sqlite3.connect(aside)) as new:
        if old.execute("pragma data_version").fetchone() != seen:
            raise UserError(
                f"{path}: another process writes to it, and it must be migrated to this MLflow's schema: stop that first"
            )
        new.backup(old)
    if kept is not None:
        _say(f"{path}: migrated to this MLflow's schema; as it was it is kept in {kept.name}")


def _free_name(path: Path, ending: str) -> Path:
    first = path.with_name(f"{path.name}.{ending}")
    numbered = (path.with_name(f"{path.name}.{ending}-{n}") for n in range(2, 10**6))
    return first if not first.exists() else next(name for name in numbered if not name.exists())


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise UserError(f"{path}: cannot be used as tracking database: {error}") from error
    except sqlite3.DatabaseError as error:
        raise UserError(f"{path}: is no SQLite database, or a damaged one ({error}): name another file") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be used as tracking database: {error}") from error
