"""Where a search lives on disk: one folder a search, found by name, held by one driver at a time."""

from __future__ import annotations

import errno
import json
import os
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import yaml
from filelock import FileLock, Timeout

from rebnn_search.base.errors import NO_ROOM, ROOM
from rebnn_search.base.files import write_atomically
from rebnn_search.base.layout import (
    ATTEMPTS_FILE,
    BEST_RECIPE_FILE,
    CHECKPOINTS,
    JOURNAL_FILE,
    MODEL_FILE,
    REPORT_FILE,
    RESULT_FILE,
    SEARCH_FILE,
    TRACE_FILE,
    TRIALS,
    trial_name,
)
from rebnn_search.base.notices import notice
from rebnn_search.config import UserError

FORMAT = 2
"""Of ``search.yaml``; the first had no number, and no identity at its end."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
NAMES = "letters, digits, '.', '_' and '-', a letter or digit first, at most 100 in all"
"""`NAME` in words."""
ONE_SLASH = re.compile(r"[a-z][a-z0-9]+:/(?!/)")
"""How a URI of an object store is mistyped."""


@dataclass(frozen=True)
class SearchFolder:
    """The folder of one search.

    ``search.yaml`` the resolved search, ``study.journal`` the ledger, ``trials/NNNN/`` reports and checkpoints of each trial,
    ``best.yaml`` the best recipe, ``model.safetensors`` its trained network, ``result.json`` the last result, ``driver.log`` what
    Ray and Tune had to say.

    Attributes:
        path: The folder; where the storage is an object store, this machine's working copy of it.
        remote: The search's URI in the object store, None without one.
    """

    path: Path
    remote: str | None = None

    @property
    def name(self) -> str:
        """The search's name."""
        return self.path.name

    @property
    def address(self) -> str:
        """Where a user finds the search: its URI or its absolute path."""
        return self.remote or str(self.path.absolute())

    @property
    def search_file(self) -> Path:
        """The resolved search."""
        return self.path / SEARCH_FILE

    @property
    def journal(self) -> Path:
        """Optuna's journal: the record of what was asked, reported, pruned and finished."""
        return self.path / JOURNAL_FILE

    @property
    def best_recipe(self) -> Path:
        """The best trial's recipe."""
        return self.path / BEST_RECIPE_FILE

    @property
    def model(self) -> Path:
        """The best trial's network as a packed model file."""
        return self.path / MODEL_FILE

    @property
    def result_file(self) -> Path:
        """What ``--json`` printed last; there once the search has finished."""
        return self.path / RESULT_FILE

    @property
    def log(self) -> Path:
        """The driver's log."""
        return self.path / "driver.log"

    @property
    def trials(self) -> Path:
        """The folder of the trials' folders; there once a trial has begun."""
        return self.path / TRIALS

    def trial(self, number: int) -> Path:
        """The folder of a trial."""
        return self.trials / trial_name(number)

    def report_file(self, number: int) -> Path:
        """The reports of a trial."""
        return self.trial(number) / REPORT_FILE

    def attempts_file(self, number: int) -> Path:
        """When a trial was at work."""
        return self.trial(number) / ATTEMPTS_FILE

    def trace_file(self, number: int) -> Path:
        """Where a trial's worker leaves what it failed by."""
        return self.trial(number) / TRACE_FILE

    def checkpoints(self, number: int) -> Path:
        """The checkpoints of a trial."""
        return self.trial(number) / CHECKPOINTS

    def write_search(
        self, source: str, data: Mapping[str, object], ledger: str | None = None, search_id: str | None = None
    ) -> None:
        """Write the resolved search, where its ledger is if not here, and its identity; its presence makes the folder a search."""
        content: dict[str, object] = {"source": source, **({"ledger": ledger} if ledger else {}), "search": data}
        if search_id is not None:  # last, so that a file cut short is known by it
            content = {"format": FORMAT, **content, "id": search_id}
        write_atomically(self.search_file, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))

    def _read(self) -> dict[str, Any]:
        """What `write_search` wrote.

        Raises:
            UserError: If the file is missing or damaged.
        """
        try:
            content = yaml.safe_load(self.search_file.read_text(encoding="utf-8"))
            if not isinstance(content["search"], dict) or not isinstance(content["source"], str):
                raise TypeError("keys have no sensible values")
            if "format" in content and not re.fullmatch(r"[0-9a-f]{32}", str(content.get("id"))):
                raise ValueError("it is cut short")
        except (OSError, yaml.YAMLError, TypeError, KeyError, ValueError) as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise UserError(
                f"{self.search_file}: is no resolved search ({reason}); restore it from a copy, or begin a new search under another "
                "--name"
            ) from None
        if content.get("format", FORMAT) != FORMAT:
            raise UserError(
                f"{self.search_file}: was written by a newer version (format {content['format']}, known is {FORMAT})"
            )
        return dict(content)

    @property
    def ledger(self) -> str | None:
        """The ledger's database URL without its password, None where the ledger is the journal."""
        url = self._read().get("ledger")
        return None if url is None else str(url)

    @property
    def search_id(self) -> str | None:
        """The search's identity; None where it is of a version that kept it in the ledger alone."""
        found = self._read().get("id")
        return None if found is None else str(found)

    def read_search(self) -> tuple[str, dict[str, Any]]:
        """The name of the file the search came from, and the resolved search.

        Raises:
            UserError: If the file is missing or damaged.
        """
        content = self._read()
        return content["source"], content["search"]

    @property
    def finished(self) -> bool:
        """Whether the search ran to its end the last time."""
        return self.result_file.exists()


@contextmanager
def explain_disk_errors(folder: SearchFolder) -> Iterator[None]:
    """Turn what the driver cannot do in its folder into a message: no space is left, or a file is no file, or may not be written.

    Raises:
        UserError: Names the search, or the file, and what to do.
    """
    try:
        yield
    except OSError as error:
        if error.errno in NO_ROOM:
            raise UserError(f"{folder.name}: {error.strerror}; {ROOM}") from error
        place = Path(str(error.filename2 or error.filename))
        if error.filename is None or not place.absolute().is_relative_to(folder.path.absolute()):
            raise
        raise UserError(f"{place}: {_advice(place, error)}") from error


def _advice(place: Path, error: OSError) -> str:
    if place.is_symlink():
        return "is a link; a search keeps its own files here: remove it, or put the file in its place, and try again"
    if place.is_dir() and error.errno in (errno.EISDIR, errno.ENOTEMPTY, errno.EPERM, errno.EACCES, errno.EEXIST):
        return "is a directory where a search keeps a file of its own: move it away and try again"
    return f"{error.strerror}: a search must be able to write there; mend that, or choose another --storage"


def check_storage(storage: str) -> None:
    """Check that a storage names a place.

    Raises:
        UserError: If it cannot be a directory's name, nor that of a place in an object store.
    """
    if not storage.strip() or "\0" in storage or ONE_SLASH.match(storage):
        raise UserError(f"--storage {storage!r}: names nothing: expected a directory, or an object store as s3://bucket/folder")
    if "://" in storage and not urlsplit(storage).netloc and not urlsplit(storage).path.strip("/"):
        raise UserError(f"--storage {storage}: names no bucket, as in {storage.rstrip('/')}//bucket/folder")


def check_name(name: str) -> str:
    """Return a search's name if it can be a folder's.

    Raises:
        UserError: If it could leave the storage folder or needs quoting in a shell.
    """
    if not NAME.fullmatch(name):
        place, _, last = name.rstrip("/").rpartition("/")
        meant = f"; did you mean {last} with --storage {place}?" if place and NAME.fullmatch(last) else ""
        raise UserError(f"name {name!r}: use {NAMES}{meant}")
    return name


def searches_of(storage: Path, source: str, *, fetched: bool = False) -> list[SearchFolder]:
    """The searches in a storage folder that came from the file called ``source``, oldest first.

    Of a store's copy the times are those of fetching, and their numbers alone tell.
    """
    folders = []
    for path in storage.glob(f"*/{SEARCH_FILE}"):
        folder = SearchFolder(path.parent)
        try:
            if folder.read_search()[0] == source:
                folders.append(folder)
        except UserError as error:
            if _is_of(folder.name, source):
                notice(f"passed over: {error}")
    times = {folder.name: 0 if fetched else folder.search_file.stat().st_mtime_ns for folder in folders}
    return sorted(folders, key=lambda folder: (times[folder.name], _number(folder.name), folder.name))


def _number(name: str) -> int:
    match = re.search(r"-(\d+)$", name)
    return int(match[1]) if match else 0


def _is_of(name: str, source: str) -> bool:
    return re.fullmatch(rf"{re.escape(Path(source).stem)}-\d+", name) is not None


LEFT = re.compile(r"driver\.(lock|json|log)|study\.journal(\.lock.*)?|\.(search\.yaml|driver\.json)\.\d+(\.partial)?")
"""What a search leaves that was killed before it wrote ``search.yaml``: nothing was trained by then."""


def _is_left_over(path: Path) -> bool:
    return path.is_dir() and all(LEFT.fullmatch(file.name) for file in path.iterdir())


def new_search(storage: Path, source: str, name: str | None) -> SearchFolder:
    """Choose the folder of a new search; without a name the file's and the next free number. Makes nothing yet.

    Raises:
        UserError: If the name is taken.
    """
    stem = Path(source).stem
    if name is None:
        taken = [_number(path.name) for path in storage.glob(f"{stem}-*") if _is_of(path.name, source)]
        own = f"{stem}-{max(taken, default=0) + 1}"
        if not NAME.fullmatch(own):
            raise UserError(f"{source}: no search can be named {own!r} after this file: give it one with --name, {NAMES}")
        return SearchFolder(storage / own)
    folder = SearchFolder(storage / check_name(name))
    if folder.path.exists() and not _is_left_over(folder.path):
        what = "a search" if folder.search_file.exists() else "something else"
        advice = "add --resume to continue it, or choose another name" if what == "a search" else "choose another name"
        raise UserError(f"--name {name}: {folder.path} already holds {what}: {advice}")
    return folder


def existing_search(storage: Path, source: str, name: str | None) -> SearchFolder:
    """Find the search to resume: the named one, or else the newest unfinished one of the file, or else the newest.

    Raises:
        UserError: If there is none.
    """
    if name is not None:
        folder = SearchFolder(storage / check_name(name))
        if not folder.search_file.exists():
            there = sorted(path.parent.name for path in storage.glob(f"*/{SEARCH_FILE}"))
            raise UserError(f"--resume --name {name}: no such search in {storage}; there: {', '.join(there) or 'none'}")
        return folder
    folders = searches_of(storage, source)
    if not folders:
        raise UserError(f"--resume: nothing to resume: {storage} holds no search of {source}")
    unfinished = [folder for folder in folders if not folder.finished]
    return (unfinished or folders)[-1]


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
        owner = {"pid": os.getpid(), "host": socket.gethostname(), "since": datetime.now(UTC).isoformat(timespec="seconds")}
        write_atomically(self._owner, json.dumps(owner))
        return self

    def _describe(self) -> str:
        try:
            owner = read_owner(self._folder) or {}
            age = datetime.now(UTC) - datetime.fromisoformat(owner["since"])
            return f"process {owner['pid']} on {owner['host']} since {owner['since']} ({int(age.total_seconds())} s)"
        except (ValueError, KeyError, TypeError):
            return "another process"

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._owner.unlink(missing_ok=True)
        self._lock.release()
