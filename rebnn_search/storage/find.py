"""Which folder a command means: a new search's or one to resume, in a directory or an object store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rebnn_search.base.layout import SEARCH_FILE
from rebnn_search.config import UserError
from rebnn_search.storage.begun import has_begun, is_leftover
from rebnn_search.storage.fetch import fetch_index, fetch_search
from rebnn_search.storage.folder import SearchFolder, check_name, check_storage, existing_search, new_search, searches_of
from rebnn_search.storage.object_store import is_uri, place_in


def named_search(storage: str, name: str) -> SearchFolder:
    """Find the folder of a search that was begun.

    Args:
        storage: A directory, or the URI of an object store, whose working copy on this machine is then brought up to date.
        name: The search's name.

    Raises:
        UserError: If there is no such search.
    """
    remote = storage if is_uri(storage) else None
    local = Path(storage) if remote is None else fetch_index(remote)
    folder = SearchFolder(local / check_name(name), None if remote is None else place_in(remote, name))
    if not folder.search_file.exists():
        there = sorted(path.parent.name for path in local.glob(f"*/{SEARCH_FILE}"))
        raise UserError(f"{name}: no such search in {storage}; there: {', '.join(there) or 'none'}")
    if remote is not None:
        fetch_search(folder)
    return folder


@dataclass(frozen=True)
class Found:
    """A search's folder, whether it holds a search to resume, and the file's unfinished searches."""

    folder: SearchFolder
    resumed: bool
    unfinished: list[str]


def find_folder(storage: str, source: str, name: str | None, *, resume: bool = False, or_start: bool = False) -> Found:
    """Find the folder of a search.

    Args:
        storage: A directory, or the URI of an object store, whose working copy on this machine is then brought up to date.
        source: Name of the search file.
        name: The search's name; None for the newest unfinished one, or a new one's next free number.
        resume: Whether there must be a search.
        or_start: Whether there may be one.

    Raises:
        UserError: If the storage cannot be used, there is nothing to resume, or the name of a new search is taken.
    """
    remote = storage if is_uri(storage) else None
    check_storage(storage)
    local = Path(storage) if remote is None else fetch_index(remote)
    try:
        if local.exists() and not local.is_dir():
            raise UserError(f"--storage {storage}: is a file, not a directory")
        # A working copy lacks what would tell.
        there = searches_of(local, source, fetched=remote is not None)
        begun = [folder for folder in there if remote is not None or has_begun(folder)]
        unfinished = [folder.name for folder in begun if not folder.finished]
        named = None if name is None else SearchFolder(local / check_name(name))
        leftover = named is not None and remote is None and is_leftover(named)
        if or_start and not resume:
            resume = bool(begun) if named is None else named.search_file.exists() and not leftover
        if resume and named is None and begun:
            named = next((folder for folder in reversed(begun) if not folder.finished), begun[-1])
        if resume:
            folder = existing_search(local, source, None if named is None else named.name)
        else:
            folder = named if named is not None and leftover else new_search(local, source, name)
    except OSError as error:
        raise UserError(f"--storage {storage[:100]}: cannot be read: {error.strerror}") from None
    if remote is not None:
        folder = SearchFolder(folder.path, place_in(remote, folder.name))
        if resume:
            fetch_search(folder)
    return Found(folder, resume, unfinished)
