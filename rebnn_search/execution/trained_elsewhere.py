"""A search's given configurations trained without it: written as recipes, and taken up again as its trials.

On a machine with torch alone ``python -m rebnn_search.train`` trains the recipes. What it leaves is what a trial leaves, so that a
search which finds it goes on from there: of a training that came to its end all that is left to do is to report.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rebnn_search.base.layout import TAKEN_UP, trial_name
from rebnn_search.config import UserError, get_value, with_value
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.study.search import Search
from rebnn_search.training import CheckpointDirectory, Recipe, TrainingFolder, load_recipe
from rebnn_search.training.recipe import PATH_HOLDERS, PATH_OPTIONS


def given_recipes(search: Search) -> Iterator[tuple[int, Recipe]]:
    """Number and recipe of each trial whose configuration the search file gives under ``fixed``: the first, all seeds of each."""
    seeds = search.spec.seeds
    for number in range(min(search.spec.trials, len(search.spec.fixed) * seeds)):
        params = search.fixed[search.configuration_of(number)]
        yield number, Recipe.model_validate(search.recipe_data(params, number))


def take_trained(search: Search, folder: SearchFolder, trained: Path) -> list[int]:
    """Put the checkpoints of trainings elsewhere where the search's trials look for theirs.

    Args:
        search: The resolved search.
        folder: Its folder. Trials that have a checkpoint there keep it.
        trained: Holds ``NNNN/`` for each trial that was trained, as the training command's ``--out`` leaves it; others may be
            missing.

    Returns:
        The trials that were given one.

    Raises:
        UserError: If there is no such folder, one holds another recipe than the trial's (but for where its data are) or has made more
            reports than its checkpoint remembers, the search is kept in an object store, or measures what such a training did not.
    """
    if not trained.is_dir():
        raise UserError(f"--trained {trained}: there is no such folder")
    if folder.remote is not None:
        raise UserError(f"--trained {trained}: a search in an object store cannot take trainings up; use a directory")
    if search.measured:
        names = ", ".join(str(one["name"]) for one in search.measured)
        raise UserError(f"--trained {trained}: the search measures {names} of each network, which these trainings did not")
    found = []
    for number, recipe in given_recipes(search):
        training = TrainingFolder(trained / trial_name(number))
        if training.recipe_file.is_file() and not any(folder.checkpoints(number).glob("*.pt")):
            state = _state(training, recipe)
            if state is not None:
                found.append((number, *state))
    for number, step, content in found:  # after all were looked at: one that does not fit leaves nothing behind
        folder.trial(number).mkdir(parents=True, exist_ok=True)
        (folder.trial(number) / TAKEN_UP).touch()
        CheckpointDirectory(folder.checkpoints(number)).save(step, content)
    return [number for number, _, _ in found]


def _state(training: TrainingFolder, recipe: Recipe) -> tuple[int, Mapping[str, Any]] | None:
    """A training's newest checkpoint, None where it has none."""
    theirs, ours = _comparable(load_recipe(training.recipe_file)), _comparable(recipe)
    changed = sorted(key for key in theirs.keys() | ours.keys() if theirs.get(key) != ours.get(key))
    if changed:
        raise UserError(
            f"{training.recipe_file}: is not the recipe of the search's trial {training.path.name}: {', '.join(changed)}"
        )
    checkpoint = CheckpointDirectory(training.checkpoint_path).latest("cpu")
    if checkpoint is not None:
        step, remembered = checkpoint[0], len(checkpoint[1].get("reports", []))
        if remembered < step:
            raise UserError(
                f"{training.path}: made {step} reports, of which its checkpoint remembers {remembered}: ask for fewer with "
                "reports_per_epoch"
            )
    return checkpoint


def _comparable(recipe: Recipe) -> dict[str, Any]:
    """A recipe without the places of its files, which are each machine's own."""
    data = recipe.dump()
    for place in PATH_HOLDERS:
        holder = get_value(data, place)
        if isinstance(holder, Mapping):
            data = with_value(data, place, {key: value for key, value in holder.items() if key not in PATH_OPTIONS})
    return data
