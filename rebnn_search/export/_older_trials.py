"""The recipe of a trial that an earlier version trained, whose folder does not hold it.

Since then every trial's folder has its ``recipe.yaml``; a search that goes on adds it to the folders of its older trials too. For
those of a search that never went on, and for them alone, what was trained is put together from its ``search.yaml`` and its result or
journal. One whose ledger was a database, and that has no result, needs its recipe named.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rebnn_search.base.journal import CREATE_TRIAL
from rebnn_search.base.layout import JOURNAL_FILE, RESULT_FILE, SEARCH_FILE, TRIALS
from rebnn_search.config import Document, UserError, load, validate, with_value
from rebnn_search.export._header import brief
from rebnn_search.export._records import read_result
from rebnn_search.training import Recipe


def recipe_of_older_trial(folder: Path) -> Recipe | None:
    """The search's recipe with the parameters of the trial whose folder this is; None if it is no trial's.

    Raises:
        UserError: If it is one, and the search's files do not say what was trained; the message names the file.
    """
    folder = folder.absolute()
    search = folder.parent.parent
    if folder.parent.name != TRIALS or not folder.name.isdigit() or not (search / SEARCH_FILE).is_file():
        return None
    return _trial_recipe(search, int(folder.name))


def _trial_recipe(search: Path, number: int) -> Recipe:
    file = search / SEARCH_FILE
    content = load(file).data.get("search")
    base, space = (content.get("recipe"), content.get("space")) if isinstance(content, dict) else (None, None)
    if not isinstance(base, dict) or not isinstance(space, (dict, list)) or not all(isinstance(name, str) for name in space):
        raise UserError(f"{file}: is no resolved search: it needs search.recipe and search.space")
    params = _params(search, number)
    if params is None:
        raise UserError(f"{search}: nothing here says what was trained in trial #{number}: name its recipe with --recipe FILE")
    for name in space:  # parents before what depends on them
        if name in params:
            try:
                base = with_value(base, tuple(name.split(".")), params[name])
            except KeyError as error:
                raise UserError(f"{file}: search.space: {brief(str(error.args[0]))}") from None
    return validate(Recipe, Document(f"{file}, trial #{number}", base))


def _params(search: Path, number: int) -> Mapping[str, Any] | None:
    """The parameters of a trial: from the result, or of an unfinished search from the lines of Optuna's journal."""
    result = read_result(search / RESULT_FILE)
    for trial in result.trials if result is not None else ():
        if trial.number == number:
            return trial.params
    return _journal_params(search / JOURNAL_FILE, number)


def _journal_params(file: Path, number: int) -> Mapping[str, Any] | None:
    """The parameters of a trial in the lines of Optuna's journal, None where no sound line says them."""
    try:
        lines = file.read_bytes().splitlines()
    except OSError:
        return None
    made = 0
    for line in lines:
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if not isinstance(entry, dict):
            continue
        trial: Any = made
        if entry.get("op_code") == CREATE_TRIAL:
            attributes = entry.get("user_attrs")
            made += 1
        else:  # an earlier version wrote the parameters after the trial
            trial, attributes = entry.get("trial_id"), entry.get("user_attr")
        params = attributes.get("params") if isinstance(attributes, dict) and trial == number else None
        if isinstance(params, dict):
            return params
    return None
