"""The right to drive a search on a disk: one process at a time."""

from __future__ import annotations

import json
import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from filelock import FileLock, Timeout

from rebnn_search.base.files import write_atomically
from rebnn_search.config import UserError
from rebnn_search.storage.folder import SearchFolder

LOOK_SECONDS = 0.3
"""How long a new driver tries for the lock: one who looks whether there is a driver may have it for a moment."""


def driver_lock_file(folder: SearchFolder) -> Path:
    """The file whose lock is the right to drive a search on a disk."""
    return folder.path / "driver.lock"


def _owner_file(folder: SearchFolder) -> Path:
    return folder.path / "driver.json"


def read_owner(folder: SearchFolder) -> dict[str, Any] | None:
    """What the last driver wrote of itself when it took the lock (``pid``, ``host``, ``since``); it may be dead. None where there is
    nothing.
    """
    try:
        owner = json.loads(_owner_file(folder).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return owner if isinstance(owner, dict) else None


class DriverLock:
    """The right to drive a search: one process at a time; a dead owner's lock is free.

    Raises:
        UserError: On entry, if another driver is at work; the message names it and how long it has been.
    """

    def __init__(self, folder: SearchFolder) -> None:
        self._lock = FileLock(driver_lock_file(folder))
        self._owner = _owner_file(folder)
        self._folder, self._name = folder, folder.name

    def __enter__(self) -> DriverLock:
        try:
            self._lock.acquire(timeout=LOOK_SECONDS)
        except Timeout:
            raise UserError(f"{self._name} is being driven by {self._describe()}: wait for it, or stop it first") from None
        try:
            self._sign()
        except BaseException:
            self._lock.release()
            raise
        return self

    def _sign(self) -> None:
        owner = {"pid": os.getpid(), "host": socket.gethostname(), "since": datetime.now(UTC).isoformat(timespec="seconds")}
        write_atomically(self._owner, json.dumps(owner))

    def _describe(self) -> str:
        try:
            owner = read_owner(self._folder) or {}
            age = datetime.now(UTC) - datetime.fromisoformat(owner["since"])
            return f"process {owner['pid']} on {owner['host']} since {owner['since']} ({int(age.total_seconds())} s)"
        except (ValueError, KeyError, TypeError):
            return "another process"

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self._owner.unlink(missing_ok=True)
        finally:
            self._lock.release()
