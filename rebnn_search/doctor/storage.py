"""Whether searches can be kept where they are to be: written, kept through a power cut, and held by one driver."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil

from rebnn_search.base.secrets import hide_secrets
from rebnn_search.config import UserError
from rebnn_search.doctor.finding import Finding, Level
from rebnn_search.storage.conditional_write import conditional
from rebnn_search.storage.object_store import ObjectStore, is_uri, place_in
from rebnn_search.study.record import check_ledger

AREA = "storage"
ENOUGH = 1e9
NETWORK = ("nfs", "cifs", "smb", "fuse", "9p", "ceph", "lustre", "gluster", "gpfs", "beegfs", "virtiofs")
"""How the names of file systems begin on which locks and fsync may be another machine's."""


def examine_storage(storage: str, ledger: str | None = None) -> Iterator[Finding]:
    """Try what a search does with its storage, and leave nothing there.

    Args:
        storage: A directory, which need not be there, or the URI of an object store.
        ledger: Database for the study, if it is to be one.
    """
    yield from _store(storage) if is_uri(storage) else _directory(Path(storage))
    if ledger is not None:
        try:
            check_ledger(ledger)
        except UserError as error:
            yield Finding(AREA, "ledger", hide_secrets(ledger), Level.FAIL, str(error))
        else:
            yield Finding(AREA, "ledger", f"{hide_secrets(ledger)} can be used")


def _directory(path: Path) -> Iterator[Finding]:
    place = whole = path.resolve()  # a link's own place is not where files come to be
    if place.exists() and not place.is_dir():
        yield Finding(AREA, str(path), "is a file, not a directory", Level.FAIL, "name a directory with --storage")
        return
    while not place.exists():
        place = place.parent
    made = "" if place == whole else " (will be made)"
    usage = shutil.disk_usage(place)
    text = f"{usage.free / 1e9:.1f} of {usage.total / 1e9:.1f} GB free on {_file_system(place)}{made}"
    if usage.free < ENOUGH:
        yield Finding(AREA, str(path), text, Level.NOTE, "free some: a search keeps two checkpoints of each trial")
    else:
        yield Finding(AREA, str(path), text)
    try:
        with tempfile.TemporaryDirectory(prefix=".rebnn-doctor-", dir=place) as folder:
            yield _synced(Path(folder))
            yield _locked(Path(folder))
    except OSError as error:
        yield Finding(
            AREA, "writing", f"{error.strerror or error}", Level.FAIL, f"make {place} writable, or name another --storage"
        )


def _file_system(place: Path) -> str:
    mounts = [part for part in psutil.disk_partitions(all=True) if place.is_relative_to(part.mountpoint)]
    return max(mounts, key=lambda part: len(part.mountpoint)).fstype if mounts else "a file system without a name"


def _synced(folder: Path) -> Finding:
    begun = time.perf_counter()
    try:
        with (folder / "new").open("wb") as file:
            file.write(b"x")
            file.flush()
            os.fsync(file.fileno())
        (folder / "new").replace(folder / "old")
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        return Finding(
            AREA, "fsync", f"{error.strerror}", Level.FAIL, "a power cut could lose reports here: name another --storage"
        )
    return Finding(AREA, "fsync", f"works, {1000 * (time.perf_counter() - begun):.1f} ms for a file and its name")


def _locked(folder: Path) -> Finding:
    try:
        with (folder / "lock").open("wb") as first, (folder / "lock").open("rb") as second:
            fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
            try:
                fcntl.flock(second, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                far = _file_system(folder).startswith(NETWORK)
                away = "; whether they also keep out other machines depends on the server" if far else ""
                return Finding(AREA, "locks", f"work{away}", Level.NOTE if far else Level.OK)
    except OSError as error:
        return Finding(
            AREA, "locks", f"{error.strerror}", Level.FAIL, "two drivers could hold one search: name another --storage"
        )
    return Finding(AREA, "locks", "two had one", Level.FAIL, "two drivers could hold one search: name another --storage")


def _store(uri: str) -> Iterator[Finding]:
    shown = hide_secrets(uri)
    try:
        store = ObjectStore(place_in(uri, f".doctor-{uuid.uuid4().hex}"))
        try:
            objects = conditional(store)
            if objects.gap is None:
                heeded = objects.put("try", b"1", None) is not None and objects.put("try", b"2", None) is None
                gap = None if heeded else "the store does not heed conditions"
            else:
                gap = objects.gap
            store.write("other", b"3")
            read = store.read("other")
        finally:
            store.delete_all()
    except UserError as error:
        yield Finding(AREA, shown, "cannot be opened", Level.FAIL, str(error))
        return
    except OSError as error:
        yield Finding(
            AREA, shown, hide_secrets(str(error).splitlines()[0]), Level.FAIL, "check bucket, endpoint and credentials"
        )
        return
    if read == b"3":
        yield Finding(AREA, shown, "can be written and read")
    else:
        yield Finding(AREA, shown, "what was written was not read", Level.FAIL, "name another --storage")
    if gap is None:
        yield Finding(AREA, "lease", "the store's conditional writes keep out a second driver")
    else:
        yield Finding(AREA, "lease", f"two drivers that start in the same moment are not kept apart: {gap}", Level.NOTE)
