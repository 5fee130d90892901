"""Keeps a search whose storage is an object store there: the driver's working copy is sent on by a thread, and fetched to resume.

An object store cannot append, so the journal goes there as segments named by their offset; everything else is small and sent
whole. What is there is always a state the search was in: reports go before the journal lines that may speak of them, and no line
is sent before it is whole.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import socket
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from rebnn_search.config import UserError
from rebnn_search.search.object_store import ObjectStore, working_copy
from rebnn_search.search.storage import NAME, SearchFolder, write_atomically
from rebnn_search.tracking import hide_secrets

logger = logging.getLogger(__name__)

JOURNAL = "study.journal.d"
LEASE = "driver.json"
WHOLE = ("search.yaml", "result.json", "best.yaml", "model.safetensors", "trials/*/reports.jsonl", "trials/*/error.txt",
         "trials/*/model.safetensors", "refit/*.json", "refit/*.safetensors", "refit/*/*.json", "refit/*/*.safetensors",
         "refit/*/reports.jsonl", "refit/*/recipe.yaml")  # fmt: skip
"""Files sent whole, each time they have changed."""
POLL_SECONDS = 1.0
BEAT_SECONDS = 15.0
STALE_SECONDS = 60.0
"""A driver not heard of for so long is dead."""
SEGMENTS = 256
"""So many segments of the journal are joined to one."""


def fetch_index(uri: str) -> Path:
    """Bring the working copy's list of searches up to the store's. Returns the working copy.

    Raises:
        UserError: If the store cannot be read.
    """
    store, local = ObjectStore(uri), working_copy(uri)
    try:
        for name in store.names():
            if NAME.fullmatch(name) and (content := store.read(f"{name}/search.yaml")) is not None:
                folder = local / name
                folder.mkdir(parents=True, exist_ok=True)
                write_atomically(folder / "search.yaml", content.decode())
                result = store.read(f"{name}/result.json")
                if result is not None:
                    write_atomically(folder / "result.json", result.decode())
                else:
                    (folder / "result.json").unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"--storage {hide_secrets(uri)}: cannot be read: {hide_secrets(str(error).splitlines()[0])}") from None
    return local


def fetch_search(folder: SearchFolder) -> None:
    """Bring a search's working copy up to the store, where that knows more or other.

    If the local journal goes on where the stored one ends, this machine drove the search last and its copy is kept; otherwise the
    search has gone on elsewhere and what is stored replaces the copy.
    """
    store = _store(folder)
    journal = _read_journal(store)
    here = folder.journal.read_bytes() if folder.journal.exists() else b""
    if journal and here.startswith(journal):
        return
    shutil.rmtree(folder.path, ignore_errors=True)
    folder.path.mkdir(parents=True)
    for name in store.names(recursive=True):
        if not any(Path(name).match(pattern) for pattern in WHOLE):
            continue
        content = store.read(name)
        if content is not None:
            (folder.path / name).parent.mkdir(parents=True, exist_ok=True)
            (folder.path / name).write_bytes(content)
    if journal:
        folder.journal.write_bytes(journal)


def _read_journal(store: ObjectStore) -> bytes:
    journal = b""
    for name in store.names(JOURNAL):
        offset = int(name)
        content = store.read(f"{JOURNAL}/{name}") or b""
        if offset > len(journal):
            raise UserError(
                f"{hide_secrets(store.uri)}: {JOURNAL}: the journal has a hole before byte {offset}; restore it from a copy"
            )
        journal += content[len(journal) - offset :]  # a joined segment overlaps those it was joined of
    return journal


def _store(folder: SearchFolder) -> ObjectStore:
    assert folder.remote is not None
    return ObjectStore(folder.remote)


class Mirror:
    """Sends what changes in a search's folder to its store while the body runs, and the rest at its end.

    Holds the search as `rebnn_search.search.storage.DriverLock` does on a disk: by an object that says who drives and when it was
    last alive. Two drivers that start within the same second may both see it free; the disk's lock has no such gap.

    Args:
        folder: The search's folder, with ``remote`` set.
        timeout: How long the end waits for a store that is away, in seconds.

    Raises:
        UserError: On entry, if another driver was alive less than a minute ago, or the store cannot be written.
    """

    def __init__(self, folder: SearchFolder, timeout: float) -> None:
        self._folder, self._timeout = folder, timeout
        self._store = _store(folder)
        self._sent: dict[Path, tuple[int, int]] = {}
        self._journal_sent = 0
        self._segments = 0
        self._beat = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._work, name="mirror", daemon=True)
        self.trouble: str | None = None

    def __enter__(self) -> Mirror:
        try:
            self._take()
            self._journal_sent = len(_read_journal(self._store))
            self._segments = SEGMENTS  # join what an earlier run left
            self.send()
        except OSError as error:
            reason = hide_secrets(str(error).splitlines()[0])
            raise UserError(f"--storage {hide_secrets(self._store.uri)}: cannot be written: {reason}") from None
        self._thread.start()
        return self

    def _take(self) -> None:
        held = self._store.read(LEASE)
        owner = json.loads(held) if held else {}
        age = time.time() - owner.get("alive", 0.0)
        if age < STALE_SECONDS and not _is_dead_here(owner):
            raise UserError(
                f"{self._folder.name} is being driven by process {owner['pid']} on {owner['host']} since {owner['since']} "
                f"(alive {age:.0f} s ago): wait for it, or stop it first; {STALE_SECONDS:.0f} s after its last sign it is free"
            )
        self._since = datetime.now(UTC).isoformat(timespec="seconds")
        self._say_alive()

    def _say_alive(self) -> None:
        owner = {"pid": os.getpid(), "host": socket.gethostname(), "since": self._since, "alive": time.time()}
        self._store.write(LEASE, json.dumps(owner).encode())
        self._beat = time.monotonic()

    def _work(self) -> None:
        while not self._done.wait(POLL_SECONDS):
            self._try_to_send()

    def _try_to_send(self) -> bool:
        try:
            if time.monotonic() - self._beat > BEAT_SECONDS:
                self._say_alive()
            self.send()
        except OSError as error:
            self.trouble = hide_secrets(str(error).splitlines()[0])
            logger.warning("the storage cannot be written, trying again: %s", self.trouble)
            return False
        self.trouble = None
        return True

    def send(self) -> None:
        """Send what has changed since the last time."""
        journal = self._folder.journal
        upto = journal.stat().st_size if journal.exists() else 0
        for pattern in WHOLE:
            for file in sorted(self._folder.path.glob(pattern)):
                state = file.stat()
                mark = (state.st_mtime_ns, state.st_size)
                if self._sent.get(file) != mark:
                    content = file.read_bytes()
                    if file.suffix == ".jsonl":
                        content = content[: content.rfind(b"\n") + 1]
                    self._store.write(file.relative_to(self._folder.path).as_posix(), content)
                    self._sent[file] = mark
        if upto > self._journal_sent:
            self._send_journal(upto)
        result = self._folder.result_file
        if result in self._sent and not result.exists():
            self._store.delete(result.name)
            del self._sent[result]

    def _send_journal(self, upto: int) -> None:
        joined = self._segments >= SEGMENTS
        start = 0 if joined else self._journal_sent
        with self._folder.journal.open("rb") as file:
            file.seek(start)
            content = file.read(upto - start)
        content = content[: content.rfind(b"\n") + 1]
        if not content:
            return
        self._store.write(f"{JOURNAL}/{start:015d}", content)
        self._journal_sent = start + len(content)
        self._segments += 1
        if joined:
            for name in self._store.names(JOURNAL):
                if int(name) > 0:
                    self._store.delete(f"{JOURNAL}/{name}")
            self._segments = 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._done.set()
        self._thread.join()
        deadline = time.monotonic() + self._timeout
        while not self._try_to_send():
            if time.monotonic() > deadline:
                return
            time.sleep(POLL_SECONDS)
        try:
            self._store.delete(LEASE)
        except OSError:
            return


def _is_dead_here(owner: dict[str, object]) -> bool:
    """Whether the owner was a process of this machine that is no more."""
    if owner.get("host") != socket.gethostname():
        return False
    try:
        pid = int(str(owner.get("pid")))
        if pid == os.getpid():
            return True  # a container started again: same name, same number
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except (PermissionError, ValueError):
        return False
    return False
