"""What a search's folder holds that nothing will ask for: files half written, and trials that the record knows nothing of.

The record is written before a trial starts, so there is such a trial only where the record lost its end: a damaged journal, or an
object store that was sent the reports and not yet the line that begins their trial. The number may get another configuration now.
"""

from __future__ import annotations

from collections.abc import Container

from rebnn_search.base.files import PARTIAL
from rebnn_search.base.layout import TRIALS
from rebnn_search.base.notices import notice
from rebnn_search.base.secrets import hide_secrets
from rebnn_search.config import UserError
from rebnn_search.storage.begun import trials_begun, was_handed_out
from rebnn_search.storage.fetch import read_journal, went_on
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.storage.object_store import ObjectStore


def clear_partial_files(folder: SearchFolder) -> None:
    """Remove what a driver was killed while writing; the caller holds the folder's lock. Checkpoints see to their own."""
    for place in (folder.path, *folder.trials.glob("*")):
        for file in place.glob(f".*{PARTIAL}"):
            file.unlink(missing_ok=True)


def leftover_trials(folder: SearchFolder, known: Container[int]) -> list[int]:
    """The numbers of trials that have a folder, here or in the object store, and are not known.

    Not of those that hold a training from elsewhere and no recipe, which a trial has from when it is handed out.

    Raises:
        UserError: If the store cannot be read.
    """
    names = {path.name for path in folder.trials.glob("*") if was_handed_out(path)}
    if folder.remote is not None:
        try:
            names |= set(ObjectStore(folder.remote).names(TRIALS))
        except OSError as error:
            reason = hide_secrets(str(error).splitlines()[0])
            raise UserError(f"--storage {hide_secrets(folder.remote)}: cannot be read: {reason}") from None
    return sorted(number for name in names if name.isdigit() and (number := int(name)) not in known)


def set_aside(folder: SearchFolder, number: int) -> None:
    """Rename a trial's folder so that nothing of it is taken for the trial asked for next; remove it from the object store.

    Raises:
        UserError: If the record in the store knows the trial by now: another driver's, that came while this one slept.
    """
    here = folder.trial(number)
    names: list[str] = []
    if folder.remote is not None:
        store = ObjectStore(folder.remote)
        names = [f"{TRIALS}/{here.name}/{name}" for name in store.names(f"{TRIALS}/{here.name}", recursive=True)]
        if names and trials_begun(read_journal(store)) > number:
            raise went_on(folder)
    if here.exists():
        count = sum(1 for _ in here.parent.glob(f"{here.name}.lost-*")) + 1
        aside = here.with_name(f"{here.name}.lost-{count}")
        here.rename(aside)
        notice(f"{here}: the record knows nothing of this trial; kept as {aside.name}, and trained anew when it is asked for")
    for name in names:
        store.delete(name)
