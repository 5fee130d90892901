"""A trial's recipe in its folder."""

from __future__ import annotations

from pydantic import ValidationError

from rebnn_search.storage.folder import SearchFolder
from rebnn_search.study.search import Search
from rebnn_search.study.spec import Params
from rebnn_search.training import Recipe, TrainingFolder


def write_trial_recipe(search: Search, folder: SearchFolder, number: int, params: Params) -> None:
    """Write what a trial trains into its folder, unless it is there: it can then be exported, or teach, without the study.

    Not of values that do not go together: the trial's worker says so, and the trial fails.
    """
    try:
        recipe = Recipe.model_validate(search.recipe_data(params, number))
    except ValidationError:
        return
    TrainingFolder(folder.trial(number)).write_recipe(recipe, f"Trial #{number} of {folder.name}")
