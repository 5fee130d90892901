"""Files of a search in an object store, through pyarrow's filesystems: S3, Google Cloud Storage, Azure, HDFS, ``file://``."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

from rebnn_search.base.files import PARTIAL, write_atomically
from rebnn_search.base.secrets import hide_secrets
from rebnn_search.config import UserError
from rebnn_search.training import CheckpointDirectory

logger = logging.getLogger(__name__)

OWNER_FILE = "owner"
"""Beside a node's copies of checkpoints: what they are of."""
PAUSES = (5.0, 15.0, 30.0, 60.0)
"""Seconds between the tries to reach a store that is away, before what is here must do."""
_reached: set[str] = set()
"""The stores that this process has read."""
KEPT_OPTIONS = ("scheme", "endpoint_override")
"""Of a URI's query, what tells one store from another; the rest says how it is reached."""


def is_uri(storage: str) -> bool:
    """Whether ``--storage`` names an object store rather than a directory."""
    return "://" in storage


def place_in(uri: str, name: str) -> str:
    """The URI of what is called ``name`` under a URI, whose query (``?endpoint_override=...``) goes with it."""
    base, mark, query = uri.partition("?")
    return f"{base.rstrip('/')}/{name}{mark}{query}"


def split_place(uri: str) -> tuple[str, str]:
    """The URI and the name that `place_in` joined."""
    base, mark, query = uri.partition("?")
    parent, _, name = base.rpartition("/")
    return f"{parent}{mark}{query}", name


def working_copy(uri: str) -> Path:
    """The directory on this machine for what lies under a URI: the same for every process of this user.

    Raises:
        UserError: If this user has no home.
    """
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:
        raise UserError(
            f"--storage {hide_secrets(uri)}: this user has no home directory for the working copy: set XDG_CACHE_HOME to a directory"
        ) from None
    base, _, query = uri.partition("?")
    kept = [pair for pair in sorted(parse_qsl(query)) if pair[0] in KEPT_OPTIONS]
    base = base.rstrip("/") + (f"?{urlencode(kept)}" if kept else "")
    return cache / "rebnn_search" / hashlib.sha256(base.encode()).hexdigest()[:16]


class ObjectStore:
    """A place under a URI; names in it are relative, with ``/`` between their parts.

    Raises:
        UserError: If pyarrow knows no such filesystem.
    """

    def __init__(self, uri: str) -> None:
        from pyarrow import fs

        self.uri = uri
        try:
            self._fs, base = fs.FileSystem.from_uri(uri)
        except (ValueError, OSError, NotImplementedError) as error:
            reason = hide_secrets(str(error).splitlines()[0])
            raise UserError(
                f"--storage {hide_secrets(uri)}: is no directory and no URI that pyarrow can open: {reason}"
            ) from None
        self._base = base.rstrip("/")
        self._local = isinstance(self._fs, fs.LocalFileSystem)
        self.directory = Path(self._base) if self._local else None
        """Where the store is on this machine's disk, if it is there."""
        self.region: str | None = getattr(self._fs, "region", None)
        """Of a bucket in S3."""

    def read(self, name: str) -> bytes | None:
        """An object's content, None where there is none."""
        try:
            with self._fs.open_input_stream(self._path(name)) as stream:
                content: bytes = stream.read()
                return content
        except FileNotFoundError:
            return None

    def write(self, name: str, content: bytes | memoryview) -> None:
        """Put an object, whole or not at all."""
        target = self._path(name)
        if not self._local:
            with self._fs.open_output_stream(target) as stream:
                stream.write(content)
            return
        self._fs.create_dir(target.rpartition("/")[0], recursive=True)
        temporary = f"{target}.{os.getpid()}{PARTIAL}"
        with self._fs.open_output_stream(temporary) as stream:
            stream.write(content)
        self._fs.move(temporary, target)

    def delete(self, name: str) -> None:
        """Remove an object; nothing happens where there is none."""
        try:
            self._fs.delete_file(self._path(name))
        except FileNotFoundError:
            return

    def delete_all(self) -> None:
        """Remove every object, and the place itself where that is a folder; nothing happens where there is none."""
        try:
            self._fs.delete_dir(self._base)
        except FileNotFoundError:
            return

    def names(self, folder: str = "", *, recursive: bool = False) -> list[str]:
        """The names of the objects in a folder, sorted, each relative to the folder; folders themselves only if not recursive."""
        from pyarrow import fs

        base = self._path(folder)
        found = self._fs.get_file_info(fs.FileSelector(base, recursive=recursive, allow_not_found=True))
        kept = [
            info for info in found if info.type == fs.FileType.File or (not recursive and info.type == fs.FileType.Directory)
        ]
        return sorted(info.path[len(base) :].lstrip("/") for info in kept if not info.path.endswith(PARTIAL))

    def sizes(self) -> dict[str, int]:
        """The size of every object, in bytes, by name."""
        from pyarrow import fs

        found = self._fs.get_file_info(fs.FileSelector(self._base, recursive=True, allow_not_found=True))
        files = (info for info in found if info.type == fs.FileType.File and not info.path.endswith(PARTIAL))
        return {info.path[len(self._base) :].lstrip("/"): info.size for info in files}

    def _path(self, name: str) -> str:
        return f"{self._base}/{name}".rstrip("/") if name else str(self._base)


def send_files(uri: str, folder: Path, name: str) -> None:
    """Put every file of a folder under a name in a store."""
    store = ObjectStore(uri)
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            store.write(f"{name}/{file.relative_to(folder).as_posix()}", file.read_bytes())


class StoredCheckpoints(CheckpointDirectory):
    """Checkpoints that are also in an object store, so that a trial goes on wherever it is started next.

    Args:
        path: The directory on this node.
        store: Where the search lives.
        name: The directory's name there.
        owner: What the checkpoints are of. A node keeps its copies when a search is removed, and the name may come back: copies of
            another owner are removed before any is read or sent. None where nothing is trained.
    """

    def __init__(self, path: Path, store: ObjectStore, name: str, owner: str | None = None) -> None:
        super().__init__(path)
        self._store, self._name, self.uri = store, name, store.uri
        self.away: str | None = None
        """Why the store could not be read, the last time; None where it could."""
        if owner is not None:
            self._belong_to(owner)

    def _belong_to(self, owner: str) -> None:
        mark = self.path / OWNER_FILE
        if mark.is_file() and mark.read_text(encoding="ascii", errors="replace") == owner:
            return
        for file in self._files():
            file.unlink()
        write_atomically(mark, owner)

    def save(self, step: int, state: Mapping[str, object]) -> Path:
        """Write a checkpoint here, then there, and remove all but the newest two of both."""
        written = super().save(step, state)
        self.send()
        return written

    def send(self) -> None:
        """Bring the store up to what is here. While it is away nothing happens: the next save sends what is missing."""
        try:
            self._send()
        except OSError as error:
            logger.warning("a checkpoint could not be sent: %s", _said(error))

    def _send(self) -> None:
        here = {file.name: file for file in self._files()}
        there = set(self._there())
        for name in sorted(here.keys() - there):
            self._store.write(f"{self._name}/{name}", here[name].read_bytes())
        for name in there - here.keys():
            if here and name < min(here):
                self._store.delete(f"{self._name}/{name}")

    def fetch(self) -> None:
        """Bring this directory up to what is in the store. One that is away for minutes leaves it as it is, and says so in `away`.

        Raises:
            OSError: If it is, and this process never could read it: it may lack the right to.
        """
        for pause in (*PAUSES, None):
            try:
                self._fetch()
            except OSError as error:
                self.away = _said(error)
                if pause is None and self.uri not in _reached:
                    raise
            else:
                self.away = None
                _reached.add(self.uri)
                return
            if pause is not None:
                time.sleep(pause)
        logger.warning("the object store cannot be read; training goes on from what is here: %s", self.away)

    def _fetch(self) -> None:
        here = {file.name for file in self._files()}
        for name in self._there():
            if name not in here and (content := self._store.read(f"{self._name}/{name}")) is not None:
                write_atomically(self.path / name, content)

    def latest(self, device: str = "cpu") -> tuple[int, dict[str, Any]] | None:
        """Return step and state of the newest sound checkpoint of both places, of a store that is away (`fetch`) of this one alone.

        Raises as `CheckpointDirectory.latest` and `fetch`.
        """
        self.fetch()
        return super().latest(device)

    def _there(self) -> list[str]:
        return [name for name in self._store.names(self._name) if re.fullmatch(r"\d{8}\.pt", name)]


def _said(error: OSError) -> str:
    return hide_secrets((str(error).splitlines() or [type(error).__name__])[0])
