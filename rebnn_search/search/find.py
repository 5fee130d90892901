"""Which folder a command means: a new search's or one to resume, in a directory or an object store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rebnn_search.config import UserError
from rebnn_search.search.mirror import fetch_index, fetch_search
from rebnn_search.search.object_store import is_uri, place_in
from rebnn_search.search.storage import SearchFolder, existing_search, new_search, searches_of


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
    local = Path(storage) if remote is None else fetch_index(remote)
    try:
        if local.exists() and not local.is_dir():
            raise UserError(f"--storage {storage}: is a file, not a directory")
        unfinished = [folder.name for folder in searches_of(local, source) if not folder.finished]
        if or_start and not resume:
            resume = (local / name / "search.yaml").exists() if name else bool(searches_of(local, source))
        folder = existing_search(local, source, name) if resume else new_search(local, source, name)
    except OSError as error:
        raise UserError(f"--storage {storage}: cannot be read: {error.strerror} ({error.filename})") from None
    if remote is not None:
        folder = SearchFolder(folder.path, place_in(remote, folder.name))
        if resume:
            fetch_search(folder)
    return Found(folder, resume, unfinished)
