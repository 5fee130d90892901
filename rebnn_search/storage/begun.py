"""Whether a search has begun: until it asks for its first trial there is nothing in its folder that anybody would miss."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rebnn_search.base.journal import CREATE_TRIAL
from rebnn_search.base.layout import RECIPE_FILE, TAKEN_UP
from rebnn_search.config import UserError
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.storage.lock import DriverLock

TUNE = "ray"
"""Folder of Tune's, made once there is a trial."""


def has_begun(folder: SearchFolder) -> bool:
    """Whether a folder holds a search that asked for a trial, or anything that cannot be told from one."""
    if folder.result_file.exists() or (folder.path / TUNE).exists() or any(map(was_handed_out, folder.trials.glob("*"))):
        return True
    try:
        with folder.journal.open("rb") as lines:
            return holds_trial(lines)
    except FileNotFoundError:
        return False
    except OSError:
        return True


def was_handed_out(trial: Path) -> bool:
    """Whether a trial's folder is more than the copy of a training elsewhere."""
    return (trial / RECIPE_FILE).exists() or not (trial / TAKEN_UP).exists()


def holds_trial(journal: Iterable[bytes]) -> bool:
    """Whether the whole lines of a journal hold a trial, or anything that cannot be told from one."""
    try:
        return any(json.loads(line)["op_code"] == CREATE_TRIAL for line in journal if line.endswith(b"\n"))
    except (ValueError, KeyError, TypeError):
        return True


def trials_begun(journal: bytes) -> int:
    """The number of trials that the whole lines of a journal begin."""
    return sum(holds_trial([line]) for line in journal.splitlines(keepends=True))


def is_leftover(folder: SearchFolder) -> bool:
    """Whether a folder holds a search that was never begun, and nothing else."""
    return folder.search_file.exists() and not has_begun(folder)


def clear_leftover(folder: SearchFolder) -> None:
    """Empty the folder of a search that was never begun, for another of its name.

    Raises:
        UserError: If its driver is at work.
    """
    if is_leftover(folder):
        with DriverLock(folder):
            if is_leftover(folder):
                for file in (folder.search_file, folder.journal):
                    file.unlink(missing_ok=True)
                shutil.rmtree(folder.trials, ignore_errors=True)  # copies of trainings elsewhere, not for another search


@contextmanager
def removed_unless_begun(folder: SearchFolder) -> Iterator[None]:
    """Remove the folder again that the body makes, if it ends in a user's mistake before any trial was asked for.

    Not one that another driver holds: two that begin at once take the same name, and the one that is refused leaves it alone.
    """
    there, stored = folder.path.exists(), folder.path.parent.exists()
    try:
        yield
    except (UserError, KeyboardInterrupt):
        if not there and folder.path.exists():
            with suppress(UserError, OSError), DriverLock(folder):  # on a full disk the folder stays
                if not has_begun(folder):
                    shutil.rmtree(folder.path, ignore_errors=True)
        if not stored:
            with suppress(OSError):
                folder.path.parent.rmdir()
        raise
