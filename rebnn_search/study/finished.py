"""A search that ran to its end, as its folder tells it: what was chosen and where it was tracked."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rebnn_search.config import UserError
from rebnn_search.storage.find import named_search
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.study.spec import Params
from rebnn_search.training import Recipe, load_recipe


@dataclass(frozen=True)
class FinishedSearch:
    """A finished search.

    Attributes:
        folder: Its folder.
        recipe: The chosen trial's.
        params: The chosen trial's configuration.
        number: The chosen trial's number.
        threads: torch threads of each worker.
        parent_run_id: Its run in MLflow.
        tracking_uri: Where that is, passwords replaced by ***.
    """

    folder: SearchFolder
    recipe: Recipe
    params: Params
    number: int
    threads: int
    parent_run_id: str
    tracking_uri: str


def finished_search(storage: str, name: str) -> FinishedSearch:
    """Find a finished search by name.

    Args:
        storage: A directory, or the URI of an object store, whose working copy on this machine is then brought up to date.
        name: The search's name.

    Raises:
        UserError: If there is no such search, it is not finished, or no trial of it was trained to its end.
    """
    folder = named_search(storage, name)
    source, data = folder.read_search()
    if not folder.finished:
        raise UserError(
            f"{name}: the search is not finished: first run it to its end, with python -m rebnn_search.run {source} --resume "
            f"--name {name}"
        )
    result = _read(folder.result_file)
    best = result["best"]
    if best is None:
        raise UserError(f"{name}: no trial of this search was trained to its end, so none was chosen")
    return FinishedSearch(
        folder=folder,
        recipe=load_recipe(folder.best_recipe),
        params=next(trial["params"] for trial in result["trials"] if trial["number"] == best["number"]),
        number=best["number"],
        threads=int(data.get("resources", {}).get("cpus_per_worker", 1)),
        parent_run_id=result["parent_run_id"],
        tracking_uri=result["tracking_uri"],
    )


def _read(file: Path) -> dict[str, Any]:
    try:
        result: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: is damaged: {error}") from None
    return result
