"""Which folder a command means: a new search's or one to resume, in a directory or an object store."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from rebnn_search.base.layout import SEARCH_FILE
from rebnn_search.base.notices import notice
from rebnn_search.base.secrets import hide_secrets
from rebnn_search.config import UserError
from rebnn_search.storage.begun import has_begun, is_leftover
from rebnn_search.storage.fetch import fetch_index, fetch_search
from rebnn_search.storage.folder import NAME, NAMES, SearchFolder, check_name, check_storage
from rebnn_search.storage.object_store import is_uri, place_in

LEFT = re.compile(r"driver\.(lock|json|log)|study\.journal(\.lock.*)?|\.(search\.yaml|driver\.json)\.\d+(\.partial)?")
"""What a search leaves that was killed before it wrote ``search.yaml``: nothing was trained by then."""


@dataclass(frozen=True)
class Storage:
    """Where searches are kept.

    Attributes:
        given: As the user wrote it.
        local: The directory; of an object store its working copy on this machine.
        remote: The object store's URI; None for a directory.
    """

    given: str
    local: Path
    remote: str | None

    def folder(self, name: str) -> SearchFolder:
        """The folder of a search, which need not be there.

        Raises:
            UserError: If the name could leave the storage.
        """
        return SearchFolder(self.local / check_name(name), None if self.remote is None else place_in(self.remote, name))

    def missing(self, name: str, option: str = "") -> UserError:
        """The error of a search that is not here, with the names of those that are."""
        there = sorted(path.parent.name for path in self.local.glob(f"*/{SEARCH_FILE}"))
        return UserError(f"{option}{name}: no such search in {hide_secrets(self.given)}; there: {', '.join(there) or 'none'}")


def open_storage(given: str) -> Storage:
    """The storage that ``--storage`` names. An object store's list of searches is brought to this machine.

    Raises:
        UserError: If it names no place, or the store cannot be read.
    """
    check_storage(given)
    if is_uri(given):
        return Storage(given, fetch_index(given), given)
    return Storage(given, Path(given), None)


def searches_of(storage: Storage, source: str) -> list[SearchFolder]:
    """The searches in a storage that came from the file called ``source``, oldest first.

    Of a store's copy the times are those of fetching, and their numbers alone tell.
    """
    folders = []
    for path in storage.local.glob(f"*/{SEARCH_FILE}"):
        if not NAME.fullmatch(path.parent.name):
            continue
        folder = storage.folder(path.parent.name)
        try:
            if folder.read_search()[0] == source:
                folders.append(folder)
        except UserError as error:
            if _is_of(folder.name, source):
                notice(f"passed over: {error}")
    times = {one.name: one.search_file.stat().st_mtime_ns if storage.remote is None else 0 for one in folders}
    return sorted(folders, key=lambda folder: (times[folder.name], _number(folder.name), folder.name))


def _number(name: str) -> int:
    match = re.search(r"-(\d+)$", name)
    return int(match[1]) if match else 0


def _is_of(name: str, source: str) -> bool:
    return re.fullmatch(rf"{re.escape(Path(source).stem)}-\d+", name) is not None


def _is_left_over(path: Path) -> bool:
    return path.is_dir() and all(LEFT.fullmatch(file.name) for file in path.iterdir())


def new_search(storage: Storage, source: str, name: str | None) -> SearchFolder:
    """Choose the folder of a new search; without a name the file's and the next free number. Makes nothing yet.

    Raises:
        UserError: If the name is taken.
    """
    stem = Path(source).stem
    if name is None:
        taken = [_number(path.name) for path in storage.local.glob(f"{stem}-*") if _is_of(path.name, source)]
        own = f"{stem}-{max(taken, default=0) + 1}"
        if not NAME.fullmatch(own):
            raise UserError(f"{source}: no search can be named {own!r} after this file: give it one with --name, {NAMES}")
        return storage.folder(own)
    folder = storage.folder(name)
    if folder.path.exists() and not _is_left_over(folder.path):
        what = "a search" if folder.search_file.exists() else "something else"
        advice = "add --resume to continue it, or choose another name" if what == "a search" else "choose another name"
        raise UserError(f"--name {name}: {folder.path} already holds {what}: {advice}")
    return folder


def existing_search(storage: Storage, source: str, name: str | None) -> SearchFolder:
    """Find the search to resume: the named one, or else the newest unfinished one of the file, or else the newest.

    Raises:
        UserError: If there is none.
    """
    if name is not None:
        folder = storage.folder(name)
        if not folder.search_file.exists():
            raise storage.missing(name, "--resume --name ")
        return folder
    folders = searches_of(storage, source)
    if not folders:
        raise UserError(f"--resume: nothing to resume: {hide_secrets(storage.given)} holds no search of {source}")
    unfinished = [folder for folder in folders if not folder.finished]
    return (unfinished or folders)[-1]


def named_search(storage: str, name: str) -> SearchFolder:
    """Find the folder of a search that was begun.

    Args:
        storage: A directory, or the URI of an object store, whose working copy on this machine is then brought up to date.
        name: The search's name.

    Raises:
        UserError: If there is no such search.
    """
    opened = open_storage(storage)
    folder = opened.folder(name)
    if not folder.search_file.exists():
        raise opened.missing(name)
    if folder.remote is not None:
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
    place = open_storage(storage)
    remote = place.remote is not None
    try:
        if place.local.exists() and not place.local.is_dir():
            raise UserError(f"--storage {storage}: is a file, not a directory")
        # A working copy lacks what would tell.
        begun = [folder for folder in searches_of(place, source) if remote or has_begun(folder)]
        unfinished = [folder.name for folder in begun if not folder.finished]
        named = None if name is None else place.folder(name)
        leftover = named is not None and not remote and is_leftover(named)
        if or_start and not resume:
            resume = bool(begun) if named is None else named.search_file.exists() and not leftover
        if resume and named is None and begun:
            named = next((folder for folder in reversed(begun) if not folder.finished), begun[-1])
        if resume:
            folder = existing_search(place, source, None if named is None else named.name)
        else:
            folder = named if named is not None and leftover else new_search(place, source, name)
    except OSError as error:
        raise UserError(f"--storage {hide_secrets(storage)[:100]}: cannot be read: {error.strerror}") from None
    if resume and remote:
        fetch_search(folder)
    return Found(folder, resume, unfinished)
