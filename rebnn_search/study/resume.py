"""What may change between two runs of one search, and what may not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rebnn_search.config import UserError
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.study.search import Search
from rebnn_search.study.stored import stored_search
from rebnn_search.training.recipe import settled_paths

FREE = frozenset({"trials", "stop_when", "resources", "max_failures"})
"""Keys of a search that change how much is run and where. Of trials of several workers without ``sync_batch_norm`` their number also
decides whose samples a BatchNorm sees together; a search that loses machines must be able to go on with fewer all the same."""


def resume_search(folder: SearchFolder, given: Search, trials: int | None) -> Search:
    """Join a stored search with what its file says now: the stored one, with the new trials and resources.

    Args:
        folder: The stored search.
        given: The file as it is now.
        trials: The number asked for on the command line; None keeps the stored one unless the file asks for more.

    Raises:
        UserError: If something changed that makes the trials done so far and those to come different things; it lists each
            change.
    """
    stored = stored_search(folder)
    stored = Search(stored.spec, settled_paths(stored.base), stored.fixed)  # earlier versions left out what has a default
    # What the file leaves to the search was chosen when it began, perhaps by another version; so was what it begins with.
    taken = {key: getattr(stored.spec, key) for key in given.chosen}
    warm = [] if given.spec.warm_start is None else stored.fixed[len(given.fixed) :]
    given = Search(given.spec.model_copy(update=taken), given.base, [*given.fixed, *warm])
    free = {key: getattr(given.spec, key) for key in FREE}
    changes = list(_changes(stored.dump(), given.dump()))
    if changes:
        listed = "\n".join(f"  {change}" for change in changes)
        raise UserError(
            f"{folder.name}: the search is no longer the one that was begun:\n{listed}\n"
            f"change it back (or repeat the --set it was begun with) to resume, or start a new search without --resume"
        )
    wanted = trials or max(stored.spec.trials, given.spec.trials)
    # In all else the stored one: in the file parameters may stand in another order now, and the sampler asks for them in theirs.
    spec = stored.spec.model_copy(update={**free, "trials": wanted})
    return Search(spec, stored.base, stored.fixed)


def _changes(old: object, new: object, place: str = "") -> Iterator[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys((*old, *new)):
            if place or key not in FREE:
                yield from _changes(old.get(key, ABSENT), new.get(key, ABSENT), f"{place}.{key}" if place else str(key))
    elif old != new:
        yield f"{place} was {old!r}, is {new!r}"


class _Absent:
    def __repr__(self) -> str:
        return "absent"


ABSENT = _Absent()
