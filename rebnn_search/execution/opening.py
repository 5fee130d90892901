"""From a command's words to a session: the search file read, the folder found, nothing made yet."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from rebnn_search.base.packaged import SPACES, find_file
from rebnn_search.execution.executor import Executor
from rebnn_search.execution.session import Session
from rebnn_search.storage.find import find_folder
from rebnn_search.study.load import check_overrides, load_search
from rebnn_search.study.resume import resume_search
from rebnn_search.study.warm_start import warm_started
from rebnn_search.tracking import check_uri, default_uri


def open_search(
    space: str | Path,
    *,
    overrides: Iterable[str] = (),
    trials: int | None = None,
    name: str | None = None,
    storage: str = "results",
    ledger: str | None = None,
    tracking_uri: str | None = None,
    address: str = "local",
    resume: bool = False,
    or_start: bool = False,
    executor: Callable[[], Executor] | None = None,
    trained: str | Path | None = None,
) -> Session:
    """Read a search file and find the folder of its search: everything that can go wrong before anything is made.

    Args:
        space: The search file, or the name of one that comes with the program.
        overrides: ``KEY=VALUE`` of the search file or its recipe.
        trials: How many trials in all.
        name: The search's; by default the file's and the next free number, or to resume the newest unfinished one.
        storage: Directory or URI where searches are kept.
        ledger: Database of the Optuna study; None for a journal in the search's folder.
        tracking_uri: MLflow's; by default ``MLFLOW_TRACKING_URI``, or ``mlflow.db`` in the working directory.
        address: As of `Session`.
        resume: Whether to go on with a search, which must be there.
        or_start: Whether to go on with one if it is there.
        executor: As of `Session`.
        trained: As of `Session`.

    Raises:
        UserError: For a mistake in file or arguments, or if there is nothing to resume, or something else than what was begun.
    """
    uri = check_uri(tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or default_uri())
    file = find_file(space, SPACES)
    overrides = list(overrides)
    search = load_search(file, [*overrides, *([f"trials={trials}"] if trials is not None else [])])
    source = file.name
    found = find_folder(storage, source, name, resume=resume, or_start=or_start)
    if found.resumed:
        source = found.folder.read_search()[0]  # by which its runs are tracked, whatever the file is called by now
        search = resume_search(found.folder, search, trials)
    else:
        check_overrides(search, str(file), overrides)
    if not found.resumed and search.spec.warm_start is not None:
        search = warm_started(search, storage, ledger)
    place = None if trained is None else Path(trained)
    return Session(search, found.folder, source, uri, ledger, address, executor, found.resumed, found.unfinished, place)
