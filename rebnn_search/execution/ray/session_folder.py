"""The folder in Ray's temporary directory that a search's own Ray makes: removed with the search that made it, or by the next."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from rebnn_search.config import UserError

MARK = "rebnn_search.lock"
"""File in a session's folder, locked while the search that made it lives: no other session is ever touched."""
LATEST = "session_latest"
"""Ray's link to the newest session."""


@contextmanager
def own_session(session: Path, logs: Path) -> Iterator[None]:
    """Remove a session's folder after the body, which has shut its Ray down; before it, those of searches that were killed.

    Args:
        session: The folder of the Ray that this process has started.
        logs: Where Ray's logs go if the body raises what is neither a user's mistake nor a signal.
    """
    mark = FileLock(session / MARK, timeout=0)
    with suppress(OSError):
        mark.acquire()
    remove_dead_sessions(session.parent)
    try:
        yield
    except UserError:
        raise
    except Exception:
        with suppress(OSError):
            shutil.rmtree(logs, ignore_errors=True)
            shutil.move(session / "logs", logs)
        raise
    finally:
        _remove(session)
        mark.release()


def remove_dead_sessions(parent: Path) -> None:
    """Remove the folders of searches that were killed: those that bear the mark, which nobody holds and no process names."""
    for mark in parent.glob(f"session_*/{MARK}"):
        session = mark.parent
        if session.is_symlink():
            continue
        with suppress(Timeout, OSError), FileLock(mark, timeout=0):
            if not _is_used(session):
                _remove(session)


def _is_used(session: Path) -> bool:
    """Whether a process has the session's name in its command line, as each part of its Ray has."""
    lines = (process.info["cmdline"] or () for process in psutil.process_iter(["cmdline"]))
    return any(session.name in word for line in lines for word in line)


def _remove(session: Path) -> None:
    for entry in list(session.iterdir()) if session.is_dir() else ():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        elif entry.name != MARK:
            with suppress(OSError):
                entry.unlink(missing_ok=True)
    shutil.rmtree(session, ignore_errors=True)  # the mark last: what a kill leaves is still this search's
    latest = session.parent / LATEST
    with suppress(OSError):
        if latest.readlink() == session and not session.exists():
            latest.unlink()
