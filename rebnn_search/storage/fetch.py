"""Brings this machine's working copy of a search up to what an object store holds, and removes nothing that the store lacks.

Which of the two is further is known by content, never by time. The journal only grows: of two, the one that begins with the other
goes on from it; if neither does, the search went two ways. Reports only grow as well: of two files the one with more whole
reports is further. Where the ledger is a database there is no journal, and the reports alone tell.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath

from rebnn_search.base.files import PARTIAL, write_atomically
from rebnn_search.base.layout import (
    CHECKPOINTS,
    JOURNAL_FILE,
    REFIT,
    REPORT_FILE,
    RESULT_FILE,
    SEARCH_FILE,
    STAGE_ONE,
    TRACE_FILE,
    TRIALS,
)
from rebnn_search.base.secrets import hide_secrets
from rebnn_search.config import UserError
from rebnn_search.storage.begun import holds_trial
from rebnn_search.storage.folder import NAME, SearchFolder
from rebnn_search.storage.lock import DriverLock
from rebnn_search.storage.object_store import ObjectStore, place_in, working_copy

JOURNAL = f"{JOURNAL_FILE}.d"
"""The journal in a store: segments named by their offset, as nothing can be appended to an object."""
REPORTS = (f"{TRIALS}/*/{REPORT_FILE}", f"{REFIT}/*/{REPORT_FILE}", f"{REFIT}/*/*/{REPORT_FILE}")
STAYS = ("driver.lock", "driver.json", "driver.log", "ray", "ray_logs", "report", JOURNAL_FILE)
"""Entries of a search's folder that are not copied: they are this machine's own, or the journal, which is sent in segments."""
PARTS = (CHECKPOINTS, STAGE_ONE)
"""Folders that are not copied either: workers write checkpoints to the store themselves."""
REMOVED_LATER = (RESULT_FILE, TRACE_FILE)
"""Files that a driver removes again: when the search is enlarged, or the trial handed out anew."""
ASIDE = ".set-aside"
"""Folder in the working copy for copies of searches that went another way than the store's."""
LISTINGS = 3
"""Attempts to list and read the journal: its driver may join segments in between, and one that was listed is then gone."""


def travels(name: PurePath) -> bool:
    """Whether a file of a search's folder is copied to a store, given its name relative to the folder."""
    own = name.parts[0] in STAYS or name.parts[0].startswith(JOURNAL_FILE)
    hidden = any(part.startswith(".") for part in name.parts) or name.name.endswith(PARTIAL)
    return not (own or hidden or any(part in PARTS for part in name.parts[:-1]))


def travelling_files(folder: Path) -> Iterator[Path]:
    """The files of a search's folder that are kept in a store whole, the resolved search first."""
    for place, folders, files in os.walk(folder):
        here = Path(place)
        folders[:] = sorted(name for name in folders if travels((here / name / "file").relative_to(folder)))
        for name in sorted(files, key=lambda name: (name != SEARCH_FILE, name)):
            if travels((here / name).relative_to(folder)):
                yield here / name


def fetch_index(uri: str) -> Path:
    """Bring the working copy's list of searches up to the store's. Returns the working copy.

    Raises:
        UserError: If the store cannot be read.
    """
    local = working_copy(uri)
    with explained(uri):
        store = ObjectStore(uri)
        for name in store.names():
            if NAME.fullmatch(name) and (search := store.read(f"{name}/{SEARCH_FILE}")) is not None:
                folder = SearchFolder(local / name, place_in(uri, name))
                result = store.read(f"{name}/{RESULT_FILE}")
                if _content(folder.search_file) == search and folder.finished == (result is not None):
                    continue
                difference = None if _content(folder.search_file) is None else compare(folder)
                _fetch_head(folder, difference, search, result)
    return local


def _fetch_head(folder: SearchFolder, difference: Difference | None, search: bytes, result: bytes | None) -> None:
    """Take the resolved search and the result, unless the copy is further."""
    if difference is not None and difference.ahead and not difference.behind:
        return
    write_atomically(folder.search_file, search)
    if result is not None:
        write_atomically(folder.result_file, result)
    elif difference is not None and difference.behind:
        folder.result_file.unlink(missing_ok=True)  # the search was enlarged elsewhere


def fetch_search(folder: SearchFolder) -> None:
    """Bring a search's working copy up to the store.

    What only the copy has stays. If the search went on elsewhere from a state that the copy's journal or reports are no part of,
    the copy is set aside whole, with a line on stderr that says where, and what is stored takes its place.

    Raises:
        UserError: If the store cannot be read, its journal has a hole, or the copy must be set aside while a driver is at work
            in it.
    """
    assert folder.remote is not None
    with explained(folder.remote):
        difference = compare(folder)
        if difference.journal and difference.behind and difference.ahead:
            _set_aside(folder)
        _take(folder, difference)


def compare(folder: SearchFolder) -> Difference:
    """Compare a search's working copy with the store.

    Raises:
        UserError: If the stored journal has a hole.
        OSError: If the store cannot be read.
    """
    store = _store(folder)
    journal = read_record(store)
    stored = _stored_reports(store, folder)
    here = whole_lines(_content(folder.journal) or b"")
    names = {file.relative_to(folder.path).as_posix() for pattern in REPORTS for file in folder.path.glob(pattern)}
    counts = {name: _count(_content(folder.path / name) or b"") for name in names}
    more_here = any(count > stored.get(name, 0) for name, count in counts.items() if name.startswith(f"{TRIALS}/"))
    more_there = any(count > counts.get(name, 0) for name, count in stored.items() if name.startswith(f"{TRIALS}/"))
    by_journal = bool(journal or here)
    return Difference(
        journal=journal,
        reports=stored,
        here=counts,
        ahead=more_here or not journal.startswith(here),
        behind=not here.startswith(journal) if by_journal else more_there,
        refit_behind=any(count > counts.get(name, 0) for name, count in stored.items() if name.startswith(f"{REFIT}/")),
    )


@dataclass(frozen=True)
class Difference:
    """How a working copy and the store differ.

    Attributes:
        journal: The stored journal, empty where the ledger is a database or nothing of it was sent yet.
        reports: Number of whole reports in each stored file that may have other ones than the copy's.
        here: Number of whole reports in each of the copy's files.
        ahead: Whether the copy has journal lines or reports that the store lacks.
        behind: Whether the search went on elsewhere: the store has journal lines, or without a journal reports, that the copy
            lacks.
        refit_behind: Whether the store has reports of last trainings that the copy lacks.
    """

    journal: bytes
    reports: dict[str, int]
    here: dict[str, int]
    ahead: bool
    behind: bool
    refit_behind: bool


def _stored_reports(store: ObjectStore, folder: SearchFolder) -> dict[str, int]:
    counts = {}
    for name, size in store.sizes().items():
        if any(Path(name).match(pattern) for pattern in REPORTS):
            copy = whole_lines(_content(folder.path / name) or b"")
            counts[name] = _count(copy if len(copy) == size else store.read(name) or b"")
    return counts


def _take(folder: SearchFolder, difference: Difference) -> None:
    """Take from the store what the copy lacks, and, where the search went on elsewhere, what differs. The journal comes last."""
    store = _store(folder)
    stored = [name for name in store.sizes() if travels(PurePosixPath(name))]
    for name in stored:
        file = folder.path / name
        behind = difference.refit_behind if name.startswith(f"{REFIT}/") else difference.behind
        if name in difference.reports:
            # Of two with as many, the times differ: tracking knows those of the one that went on.
            more = difference.reports[name] - (difference.here.get(name, -1) if file.exists() else -1)
            wanted = more >= 0 if behind else more > 0
        elif file.name in REMOVED_LATER and not file.exists():
            wanted = behind or not difference.ahead  # else it was removed here
        else:
            wanted = behind or not file.exists()
        if wanted and (content := store.read(name)) is not None:
            write_atomically(file, content)
    if difference.behind:
        if RESULT_FILE not in stored:
            folder.result_file.unlink(missing_ok=True)  # likewise, elsewhere
        if difference.journal:
            write_atomically(folder.journal, difference.journal)


def _set_aside(folder: SearchFolder) -> None:
    assert folder.remote is not None
    parent = folder.path.parent / ASIDE
    parent.mkdir(exist_ok=True)
    place = next(path for n in range(1, 10**6) if not (path := parent / f"{folder.name}-{n}").exists())
    with DriverLock(folder):
        folder.path.rename(place)
    print(
        f"{folder.name}: went on elsewhere, from before the last that was recorded here; going on from what "
        f"{hide_secrets(folder.remote)} holds. What was here is kept in {place}",
        file=sys.stderr,
        flush=True,
    )


def read_journal(store: ObjectStore) -> bytes:
    """The journal of a search's place in a store, joined of its segments.

    Raises:
        UserError: If a segment is missing.
        OSError: If the store cannot be read.
    """
    for _ in range(LISTINGS):
        journal, hole = b"", None
        for name in store.names(JOURNAL):
            offset = int(name)
            content = store.read(f"{JOURNAL}/{name}")
            if not content:  # removed meanwhile, or of a record that has begun anew
                continue
            if offset > len(journal):
                hole = offset
                break
            known = journal[offset:]
            if content.startswith(known):  # a joined segment overlaps those it was joined of
                journal += content[len(known) :]
            # Else it is part of what is known, or of a driver that had been taken for dead and woke between lease and segment.
        if hole is None:
            return journal
    raise UserError(f"{hide_secrets(store.uri)}: {JOURNAL}: the journal has a hole before byte {hole}; restore it from a copy")


def read_record(store: ObjectStore) -> bytes:
    """The journal as `read_journal`, empty where its driver died before its search was one: nobody misses that."""
    journal = read_journal(store)
    if not holds_trial(journal.splitlines(keepends=True)) and store.read(SEARCH_FILE) is None:
        return b""
    return journal


def went_on(folder: SearchFolder) -> UserError:
    """The error of a driver in whose place another one has recorded something since it read the store."""
    return UserError(
        f"{folder.name}: another driver recorded more of this search while this one started: run the same command again, "
        "with --resume"
    )


def whole_lines(content: bytes) -> bytes:
    """What there is up to the last end of a line."""
    return content[: content.rfind(b"\n") + 1]


def _count(content: bytes) -> int:
    """The number of whole reports."""
    count = 0
    for line in whole_lines(content).splitlines():
        try:
            json.loads(line)
        except ValueError:
            break
        count += 1
    return count


def _content(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None


def _store(folder: SearchFolder) -> ObjectStore:
    assert folder.remote is not None
    return ObjectStore(folder.remote)


@contextmanager
def explained(uri: str) -> Iterator[None]:
    """Turn what goes wrong with a store that is read into a message.

    Raises:
        UserError: Names the store.
    """
    try:
        yield
    except OSError as error:
        raise UserError(f"--storage {hide_secrets(uri)}: cannot be read: {hide_secrets(str(error).splitlines()[0])}") from None
