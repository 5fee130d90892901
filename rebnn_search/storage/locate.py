"""Where a trial's files are, as the node that asks sees it: on a path all nodes share, or in an object store with a copy here."""

from __future__ import annotations

from pathlib import Path

from rebnn_search.storage.folder import SearchFolder
from rebnn_search.storage.object_store import ObjectStore, StoredCheckpoints, split_place, working_copy
from rebnn_search.training import CheckpointDirectory, Recipe
from rebnn_search.training.folder import stage_one_path


def folder_here(path: str, remote: str | None) -> SearchFolder:
    """A search's folder on this node, from its path on the driver's and its URI."""
    if remote is None:
        return SearchFolder(Path(path))
    uri, name = split_place(remote)
    return SearchFolder(working_copy(uri) / name, remote)


def checkpoints_of(folder: SearchFolder, number: int, owner: str | None = None) -> CheckpointDirectory:
    """A trial's checkpoints, wherever they are kept.

    Args:
        folder: The search's.
        number: The trial's.
        owner: Which trial they must be of, for who trains it: see `StoredCheckpoints`.
    """
    return directory_of(folder, folder.checkpoints(number), owner)


def stored_stage_one(folder: SearchFolder, recipe: Recipe) -> StoredCheckpoints | None:
    """The shared stage one of a recipe in the object store, None where there is no stage or no store."""
    if folder.remote is None or recipe.stage_one is None:
        return None
    directory = directory_of(folder, stage_one_path(folder.path, recipe))
    assert isinstance(directory, StoredCheckpoints)
    return directory


def directory_of(folder: SearchFolder, path: Path, owner: str | None = None) -> CheckpointDirectory:
    """The checkpoints in a directory of a search's folder, wherever they are kept."""
    if folder.remote is None:
        return CheckpointDirectory(path)
    return StoredCheckpoints(path, ObjectStore(folder.remote), path.relative_to(folder.path).as_posix(), owner)
