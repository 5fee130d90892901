"""Keeps a search whose storage is an object store there: what changes in the driver's working copy is sent on by a thread.

An object store cannot append, so the journal goes there as segments named by their offset; everything else is small and sent
whole. What is there is always a state the search was in: reports go before the journal lines that may speak of them, and no line
is sent before it is whole.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from types import TracebackType

from rebnn_search.base.layout import SEARCH_FILE
from rebnn_search.base.secrets import hide_secrets
from rebnn_search.config import UserError
from rebnn_search.storage.begun import has_begun, holds_trial
from rebnn_search.storage.conditional_write import Version
from rebnn_search.storage.fetch import JOURNAL, REMOVED_LATER, compare, read_record, travelling_files, went_on, whole_lines
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.storage.lease import Lease, LeaseLost
from rebnn_search.storage.object_store import ObjectStore

logger = logging.getLogger(__name__)

POLL_SECONDS = 1.0
LARGE = 2**20
"""Bytes of an object that is not read to know its version."""
TRIES = 5
"""So often may an object change while it is being replaced."""
SEGMENTS = 256
"""So many segments of the journal are joined to one."""


class RemoteSync:
    """Sends what changes in a search's folder to its store while the body runs, and the rest at its end.

    Holds the search there by a `rebnn_search.storage.lease.Lease`. If that is lost, to a driver that took this one for dead, nothing
    more is sent, the main thread is interrupted as by Ctrl-C, and the end is a `UserError`.

    Args:
        folder: The search's folder, with ``remote`` set.
        timeout: How long the end waits for a store that is away, in seconds.

    Raises:
        UserError: On entry, if another driver was alive less than a minute ago, the search went on elsewhere since the folder was
            fetched, or the store cannot be written. At the end, if another driver has taken the search over.
    """

    def __init__(self, folder: SearchFolder, timeout: float) -> None:
        assert folder.remote is not None
        self._folder, self._timeout = folder, timeout
        self._store = ObjectStore(folder.remote)
        self._lease = Lease(self._store, folder.name)
        self._sent: dict[Path, tuple[int, int]] = {}
        self._versions: dict[str, Version | None] = {}
        self._journal_sent = 0
        self._segments = 0
        self._new = self._began = False
        self._lost: str | None = None
        self._sending = threading.Lock()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._work, name="remote-sync", daemon=True)
        self.trouble: str | None = None

    def __enter__(self) -> RemoteSync:
        try:
            self._lease.take()
            try:
                self._begin()
            except BaseException:
                self._lease.release()
                raise
        except LeaseLost as error:
            raise UserError(f"{self._folder.name} is being driven by {error}, which was faster") from None
        except OSError as error:
            reason = hide_secrets(str(error).splitlines()[0])
            raise UserError(f"--storage {hide_secrets(self._store.uri)}: cannot be written: {reason}") from None
        self._thread.start()
        return self

    def _begin(self) -> None:
        if self._lease.gap is not None:
            print(
                f"{self._folder.name}: its storage cannot keep out a second driver that starts at the same moment: {self._lease.gap}",
                file=sys.stderr,
                flush=True,
            )
        self._new = self._began = self._store.read(SEARCH_FILE) is None
        if self._new:
            self._clear()
        difference = compare(self._folder)
        if difference.behind:
            raise went_on(self._folder)
        self._journal_sent = len(difference.journal)
        self._segments = SEGMENTS  # join what an earlier run left
        self.send()

    def _clear(self) -> None:
        """Make way for a new record, where drivers that died before they recorded a trial have left parts of one.

        In the store nothing is removed, as a driver that slept meanwhile could so remove what another has recorded: each segment but
        the first is emptied, provided that it has not changed since it was read. The first one is replaced by the next that is sent.
        """
        left = {name: self._lease.objects.get(f"{JOURNAL}/{name}") for name in self._store.names(JOURNAL)}
        if read_record(self._store):
            return
        if not self._folder.search_file.exists() and not has_begun(self._folder):
            self._folder.journal.unlink(missing_ok=True)
        for name, found in left.items():
            if int(name) > 0 and found is not None and found[0] and not self._replaced(f"{JOURNAL}/{name}", b"", found[1]):
                raise LeaseLost("another process")

    def _replaced(self, name: str, content: bytes, expected: Version | None) -> bool:
        return self._lease.objects.put(name, content, expected) is not None

    def _work(self) -> None:
        while not self._done.wait(POLL_SECONDS):
            self._try_to_send()
            if self._lost is not None:
                if not self._done.is_set():  # else it is asked at the end
                    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
                return

    def _try_to_send(self) -> bool:
        """Send what there is to send. Whether nothing is left to try."""
        if self._lost is not None:
            return True
        try:
            self._hold()
            self.send()
        except LeaseLost as error:
            self._lost = str(error)
            logger.error("%s is driven by %s now", self._folder.name, error)
        except OSError as error:
            self.trouble = hide_secrets(str(error).splitlines()[0])
            logger.warning("the storage cannot be written, trying again: %s", self.trouble)
            return False
        self.trouble = None
        return True

    def send(self) -> None:
        """Send what has changed since the last time; any thread may.

        Raises:
            LeaseLost: If another driver has written where this one would.
            OSError: If the store cannot be written.
        """
        with self._sending:
            self._send()

    def _send(self) -> None:
        if self._new and self._folder.search_file.exists():
            self._send_first()
        journal = self._folder.journal
        upto = journal.stat().st_size if journal.exists() else 0
        for file in travelling_files(self._folder.path):
            self._send_file(file)
        if upto > self._journal_sent:
            self._send_journal(upto)
        for file in [file for file in self._sent if file.name in REMOVED_LATER and not file.exists()]:
            self._hold()
            name = self._name(file)
            self._store.delete(name)
            self._versions.pop(name, None)
            del self._sent[file]

    def _name(self, file: Path) -> str:
        return file.relative_to(self._folder.path).as_posix()

    def _send_first(self) -> None:
        """Send the record's beginning and then what makes it a search; of a driver that dies before, nothing there is missed."""
        journal = self._folder.journal
        if journal.exists():
            head = list(takewhile(lambda line: not holds_trial([line]), journal.read_bytes().splitlines(keepends=True)))
            upto = sum(map(len, head))
            if upto > self._journal_sent:
                self._send_journal(upto)
        self._versions[SEARCH_FILE] = None  # if it is there now, another driver began the search while this one slept
        self._send_file(self._folder.search_file)
        self._new = False

    def _send_file(self, file: Path) -> None:
        try:
            state = file.stat()
            mark = (state.st_mtime_ns, state.st_size)
            if self._sent.get(file) == mark:
                return
            content = file.read_bytes()
        except FileNotFoundError:  # removed meanwhile
            return
        if file.suffix == ".jsonl":
            content = content[: content.rfind(b"\n") + 1]
        self._put(self._name(file), content)
        self._sent[file] = mark

    def _put(self, name: str, content: bytes) -> None:
        """Put an object in the place of what this driver knows to be there: it may have slept, and another have written since."""
        objects = self._lease.objects
        if len(content) > LARGE and not name.endswith(".jsonl"):  # made at a trial's end, the same by whomever
            self._hold()
            self._store.write(name, content)
            return
        for _ in range(TRIES):
            if name not in self._versions:
                there = objects.get(name)
                self._versions[name] = None if there is None else there[1]
                if there is not None and there[0] == content:
                    return
            self._hold()
            version = objects.put(name, content, self._versions.pop(name))
            if version is not None:
                self._versions[name] = version
                return
            self._lease.renew()
        raise OSError(f"{name} changes all the time")

    def _hold(self) -> None:
        """See that the lease is this driver's, if it may not be: by the clock, which goes on while a machine sleeps."""
        if self._lease.is_due():
            self._lease.renew()

    def _send_journal(self, upto: int) -> None:
        joined = self._segments >= SEGMENTS
        start = 0 if joined else self._journal_sent
        with self._folder.journal.open("rb") as file:
            file.seek(start)
            content = whole_lines(file.read(upto - start))
        if not content:
            return
        if joined:
            self._join(content)
            self._segments = 0
        else:
            content = self._add_segment(start, content)
        self._journal_sent = start + len(content)
        self._segments += 1

    def _join(self, content: bytes) -> None:
        """Replace the first segment by all that there is, and remove those that it holds.

        A driver that slept in here after another took its place replaces nothing, as the first segment is not what was read before
        the lease was renewed. It removes nothing that is needed either: the other's segments begin where the first one ended or
        later.
        """
        first = f"{JOURNAL}/{0:015d}"
        before = self._lease.objects.get(first)
        self._lease.renew()
        if not self._replaced(first, content, None if before is None else before[1]):
            raise LeaseLost("another process")
        for name in self._store.names(JOURNAL):
            if 0 < int(name) < len(content):
                self._store.delete(f"{JOURNAL}/{name}")

    def _add_segment(self, start: int, content: bytes) -> bytes:
        """Add a segment where there is none. Returns what is there now: an earlier try may have come through unheard."""
        name = f"{JOURNAL}/{start:015d}"
        if self._replaced(name, content, None):
            return content
        there = self._lease.objects.get(name)
        if there is not None and not there[0] and self._replaced(name, content, there[1]):  # emptied, see `_clear`
            return content
        if there is None or not there[0] or not content.startswith(there[0]):
            raise LeaseLost("another process")
        return there[0]

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self._done.set()
            self._thread.join()
        except KeyboardInterrupt:
            if self._lost is None:
                raise
            self._done.set()  # it was sent in the moment before
            self._thread.join()
        deadline = time.monotonic() + self._timeout
        while not self._try_to_send():
            if time.monotonic() > deadline or isinstance(error, KeyboardInterrupt):  # once more, to stop at once
                return
            time.sleep(POLL_SECONDS)
        if (
            self._lost is None
            and self._began
            and isinstance(error, UserError | KeyboardInterrupt)
            and not has_begun(self._folder)
        ):
            with suppress(OSError, LeaseLost):  # as the folder here: its name is free again
                self._lease.renew()
                self._store.delete(SEARCH_FILE)
        self._lease.release()
        if self._lost is not None and (error is None or not isinstance(error, Exception)):
            raise UserError(
                f"{self._folder.name}: this driver was silent for too long, and {self._lost} has taken the search over; what was "
                f"recorded here since then is in {self._folder.path} alone"
            ) from error
