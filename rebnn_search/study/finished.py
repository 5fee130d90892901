"""A search that ran to its end, as its folder tells it: what was chosen and where it was tracked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from rebnn_search.base.layout import REFIT, trial_name
from rebnn_search.config import UserError, nearest
from rebnn_search.storage.find import named_search
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.study.front import knee_of
from rebnn_search.study.ranking import Ordering
from rebnn_search.study.search import restore_search
from rebnn_search.study.spec import Params
from rebnn_search.training import Recipe, load_recipe


@dataclass(frozen=True)
class FinishedSearch:
    """A finished search.

    Attributes:
        folder: Its folder.
        recipe: The chosen trial's, or that of the one that was picked.
        params: That trial's configuration.
        number: That trial's number.
        threads: torch threads of each worker.
        parent_run_id: Its run in MLflow.
        tracking_uri: Where that is, passwords replaced by ***.
        refit_path: Where its last trainings are kept: those of a picked trial apart.
    """

    folder: SearchFolder
    recipe: Recipe
    params: Params
    number: int
    threads: int
    parent_run_id: str
    tracking_uri: str
    refit_path: Path

    @property
    def picked(self) -> bool:
        """Whether it is of another trial than the chosen one."""
        return self.refit_path != self.folder.path / REFIT


KNEE = "knee"
"""Picks the compromise between the objectives."""


def finished_search(storage: str, name: str, pick: str | None = None) -> FinishedSearch:
    """Find a finished search by name.

    Args:
        storage: A directory, or the URI of an object store, whose working copy on this machine is then brought up to date.
        name: The search's name.
        pick: A trial of the Pareto front in place of the chosen one: its number, ``knee`` (`rebnn_search.study.front.knee_of`), or
            the name of an objective, whose best it is.

    Raises:
        UserError: If there is no such search, it is not finished, no trial of it was trained to its end within the constraints, or
            none can be picked so.
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
    if best is None and any(trial.get("infeasible") for trial in result["trials"]):
        raise UserError(f"{name}: no trial of this search keeps to its constraints, so none was chosen")
    if best is None:
        raise UserError(f"{name}: no trial of this search was trained to its end, so none was chosen")
    number = best["number"] if pick is None else _picked(name, result, pick)
    params = next(trial["params"] for trial in result["trials"] if trial["number"] == number)
    chosen = number == best["number"]
    recipe = load_recipe(folder.best_recipe) if chosen else _recipe(data, params, number)
    return FinishedSearch(
        folder=folder,
        recipe=recipe,
        params=params,
        number=number,
        threads=int(data.get("resources", {}).get("cpus_per_worker", 1)),
        parent_run_id=result["parent_run_id"],
        tracking_uri=result["tracking_uri"],
        refit_path=folder.path / REFIT / ("" if chosen else f"trial-{trial_name(number)}"),
    )


def _recipe(data: Mapping[str, Any], params: Params, number: int) -> Recipe:
    return Recipe.model_validate(restore_search(data).recipe_data(params, number))


def _picked(name: str, result: Mapping[str, Any], pick: str) -> int:
    """The number of a trial of the front."""
    objectives = {goal["name"]: Ordering(goal["direction"]) for goal in result.get("objectives", ())}
    if not objectives:
        raise UserError(
            f"--pick {pick}: {name} has one objective, whose best trial is #{result['best']['number']}: leave it out"
        )
    front: dict[int, list[Mapping[str, Any]]] = {}
    for trial in result["trials"]:
        if trial["front"]:
            front.setdefault(trial["configuration"], []).append(trial)
    numbers = [trial["number"] for trials in front.values() for trial in trials]
    if pick.removeprefix("#").isdecimal():
        if int(pick.removeprefix("#")) not in numbers:
            raise UserError(f"--pick {pick}: is no trial of the front of {name}; there are {_listed(numbers)}")
        return int(pick.removeprefix("#"))
    if pick != KNEE and pick not in objectives:
        allowed = f"{KNEE}, an objective ({', '.join(objectives)}) or a trial of the front ({_listed(numbers)})"
        raise UserError(f"--pick {pick}: {nearest(pick, [KNEE, *objectives])}expected {allowed}")
    points = [
        tuple(goal.sort_key(fmean(trial["values"][name] for trial in trials)) for name, goal in objectives.items())
        for trials in front.values()
    ]
    place = list(objectives).index(pick) if pick in objectives else None
    best = (
        knee_of(points) if place is None else min(range(len(points)), key=lambda index: (points[index][place], points[index]))
    )
    trials = list(front.values())[best]
    return int(trials[0]["number"])


def _listed(numbers: list[int]) -> str:
    return ", ".join(f"#{number}" for number in sorted(numbers))


def _read(file: Path) -> dict[str, Any]:
    try:
        result: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: is damaged: {error}") from None
    return result
