"""Where a search lives on disk: one folder a search, found by name, held by one driver at a time."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

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
