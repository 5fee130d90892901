"""Databases that a user names, looked at before anything is opened with them, or written."""

from __future__ import annotations

import os
import socket
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from rebnn_search.base.errors import UserError

PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
CONNECT_SECONDS = 5.0
SHOWN = 5
"""Tables of a foreign database that a message names."""


def check_sqlite(path: Path, *, option: str, owner: str, table: str, column: str, write: bool) -> None:
    """See that a file is a database of the one it is meant for, or that a new one can be made there.

    Args:
        path: The file.
        option: How the user named it, for messages.
        owner: Whose database it is to be: Optuna's, MLflow's.
        table: A table that every database of the owner's has.
        column: A column of that table.
        write: Whether it will be written to; otherwise it must be there.

    Raises:
        UserError: If it is something else, damaged, or may not be read or written.
    """
    try:
        exists, regular = path.exists(), path.is_file()
        size = path.stat().st_size if regular else 0
    except (OSError, ValueError) as error:
        raise UserError(f"{option}: cannot be used: {getattr(error, 'strerror', None) or error}") from None
    if exists and not regular:
        raise UserError(
            f"{option}: {path} is {'a directory; name the database file in it' if path.is_dir() else 'no regular file'}"
        )
    if not exists and not write:
        raise UserError(f"{option}: there is no database {path}")
    if not path.parent.is_dir():
        raise UserError(f"{option}: there is no directory {path.parent}")
    if write:
        _check_place(path, option, exists)
    if size:
        _check_content(path, option, owner, (table, column), write)
    elif not write:
        raise UserError(f"{option}: there is nothing in {path}")


def _check_place(path: Path, option: str, exists: bool) -> None:
    try:
        with tempfile.TemporaryFile(dir=path.parent):  # SQLite keeps its journal beside the file
            pass
    except OSError as error:
        raise UserError(f"{option}: {path.parent} cannot be written: {error.strerror}") from None
    if exists and not os.access(path, os.W_OK):
        raise UserError(f"{option}: {path} may not be written")


def _check_content(path: Path, option: str, owner: str, known: tuple[str, str], write: bool) -> None:
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode={'rw' if write else 'ro'}", uri=True)) as database:
            tables = [name for (name,) in database.execute("select name from sqlite_master where type = 'table' order by name")]
            ours = database.execute("select 1 from pragma_table_info(?) where name = ?", known).fetchone()
        if write:
            take_write_lock(path)
    except sqlite3.Error as error:
        if "locked" in str(error):  # another process is writing: it can be used, by turns
            return
        raise UserError(f"{option}: {path} cannot be used: {error}") from None
    if tables and not ours:
        there = ", ".join(tables[:SHOWN]) + (", ..." if len(tables) > SHOWN else "")
        raise UserError(f"{option}: {path} is no database of {owner}: it holds {there}")


def take_write_lock(path: Path, seconds: float = 5.0) -> None:
    """Take an SQLite file's lock for writing, and give it back.

    Args:
        path: The file.
        seconds: How long another process that has it is waited for.

    Raises:
        sqlite3.Error: If the file cannot be written, or is locked for so long.
    """
    with closing(sqlite3.connect(path, timeout=seconds, isolation_level=None)) as database:
        database.execute("begin immediate")
        database.execute("rollback")


def check_server(url: str, option: str) -> None:
    """See that a database server can be connected to: a database's driver waits for minutes where nothing answers.

    Args:
        url: SQLAlchemy's URL.
        option: How the user named it, without its password, for messages.

    Raises:
        UserError: If there is no driver for it, nothing answers, or it does not let the user in.
    """
    from sqlalchemy import create_engine
    from sqlalchemy.engine import make_url

    try:
        parsed = make_url(url)
        port = parsed.port or PORTS.get(parsed.get_backend_name())
        engine = create_engine(url)
        if parsed.host and port:
            with socket.create_connection((parsed.host, port), CONNECT_SECONDS):
                pass
        with closing(engine.connect()):
            pass
        engine.dispose()
    except Exception as error:  # SQLAlchemy and the database's driver each raise their own
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{option}: cannot be used: {reason.replace(url, option)}") from None
