"""Who drives a search at this moment, seen without being in anybody's way."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

from rebnn_search.storage.folder import SearchFolder
from rebnn_search.storage.lock import driver_lock_file, read_owner

if TYPE_CHECKING:
    from rebnn_search.storage.object_store import ObjectStore


def local_driver(folder: SearchFolder) -> str | None:
    """The process that drives a search on a disk, in words; None where there is none."""
    owner = read_owner(folder)
    if owner is None:
        return None
    try:
        lock = os.open(driver_lock_file(folder), os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: two who look do not take each other for a driver
    except OSError:
        return f"process {owner.get('pid', '?')} on {owner.get('host', '?')} since {owner.get('since', '?')}"
    finally:
        os.close(lock)
    return None


def remote_driver(store: ObjectStore) -> str | None:
    """The process that drives a search in an object store, in words; None where there was no sign of one for a minute.

    Args:
        store: The search's place in the store.

    Raises:
        OSError: If the store cannot be read.
    """
    from rebnn_search.storage.lease import LEASE, living_owner  # torch, by way of the checkpoints

    content = store.read(LEASE)
    return None if content is None else living_owner(content)
