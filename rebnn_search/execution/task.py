"""What goes from the driver to whoever trains a trial, and what comes back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from rebnn_search.storage.folder import SearchFolder
from rebnn_search.storage.locate import folder_here
from rebnn_search.study.space import Value
from rebnn_search.training import Report
from rebnn_search.training.data.facts import DataFacts


@dataclass(frozen=True)
class TrialTask:
    """A trial to be trained, or to be gone on with.

    Attributes:
        number: Of the trial.
        attempt: How often this run has handed the trial out, this time included.
        params: Its configuration.
        recipe: The data of its recipe.
        last_step: The last report that the ledger has of it; what is made again up to there is not news.
        folder: The search's folder, as the driver sees it; None of a search in memory.
        remote: The search's URI in an object store, None without one.
        workers: Processes that train it together.
        threads: torch threads of each.
        gpus: Of each.
        measured: The objectives that are measured of its network, as a file has them.
        allowed: Functions of the user's that its recipe may name.
        search_id: The search's identity; empty where nothing of it is kept.
    """

    number: int
    attempt: int
    params: Mapping[str, Value]
    recipe: Mapping[str, object]
    last_step: int
    folder: str | None
    remote: str | None
    workers: int
    threads: int
    gpus: float
    measured: Sequence[Mapping[str, object]] = ()
    allowed: Sequence[str] = ()
    search_id: str = ""

    @property
    def owner(self) -> str:
        """What tells this trial from one of another search, or of another configuration, with the same name and number."""
        return owner_of(self.search_id, self.number, self.params)

    def open_folder(self) -> SearchFolder:
        """The search's folder on this node. Not of a search in memory."""
        assert self.folder is not None
        return folder_here(self.folder, self.remote)


def owner_of(search_id: str, number: int, params: Mapping[str, Value]) -> str:
    """See `TrialTask.owner`."""
    return hashlib.sha256(json.dumps([search_id, number, sorted(params.items())], default=str).encode()).hexdigest()


@dataclass(frozen=True)
class TrialUpdate:
    """News of a task.

    Attributes:
        report: The next report; None where training failed or is to be stopped.
        final: Whether it is the last of a trial trained to its end.
        failed: Why training ended where no retry would mend it.
        stops: Why the search is to be stopped, with the trial unfinished: something that the user can mend.
        data: What was found where the data are read, with the first report of each attempt.
    """

    report: Report | None = None
    final: bool = False
    failed: str | None = None
    stops: str | None = None
    data: DataFacts | None = None


class Decision(Enum):
    """What becomes of a trial after an update."""

    CONTINUE = "continue"
    STOP = "stop"
    PAUSE = "pause"
    """Its checkpoint is kept and its place is free; the same trial may be handed out again."""
