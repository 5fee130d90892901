"""A teacher that this program has trained."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from rebnn_search.config import Notice, UserError
from rebnn_search.training.data import Data
from rebnn_search.training.data.facts import facts_of
from rebnn_search.training.folder import TrainingFolder
from rebnn_search.training.recipe import Recipe, load_recipe
from rebnn_search.training.teachers import TEACHERS, Teacher

NAMED = 5
"""Classes that a message names."""


@TEACHERS.register("trained")
class TrainedTeacher(Teacher):
    """A network that this program has trained: most often a wider one.

    Args:
        path: The directory of a training: what ``python -m rebnn_search.train --out`` wrote, or of a search's trial.
    """

    def __init__(self, *, path: str) -> None:
        self.path = path

    def build(self, data: Data) -> nn.Module:
        """Make the network of the recipe there, with the weights of the newest checkpoint."""
        folder = TrainingFolder(Path(self.path))
        state = folder.newest_state()
        if state is None:
            raise UserError(f"loss.teacher: {folder.path} holds no checkpoint of a training")
        recipe = load_recipe(folder.recipe_file)
        _check(folder.path, recipe, state, data)
        network = recipe.build_network(data)
        try:
            network.load_state_dict(state["network"])
        except RuntimeError as error:
            raise UserError(f"loss.teacher: the network in {folder.path} does not fit the data: {error}") from None
        return network


def _check(path: Path, recipe: Recipe, state: Mapping[str, Any], data: Data) -> None:
    """See that a teacher knows the student's classes, and tell where it may know its samples.

    Raises:
        UserError: If it has other classes, or these in another order.
    """
    classes = state.get("data", {}).get("classes", data.classes)
    if classes != data.classes:
        raise UserError(
            f"loss.teacher: the network in {path} was trained on other classes, or in another order: {_some(classes)}; the data have "
            f"{_some(data.classes)}"
        )
    held_out = data.size("validation") > 0  # else the student is trained on both splits, as the teacher may have been
    known = state.get("facts")  # earlier versions kept none
    other = known is not None and known["digest"] != facts_of(data).digest
    if held_out and (recipe.train_on != "train" or other):
        how = "on training and validation split" if recipe.train_on != "train" else "on other samples, or another split of them"
        warnings.warn(
            f"loss.teacher: the network in {path} was trained {how}: it may have seen what its student is validated or tested on",
            Notice,
            stacklevel=2,
        )


def _some(classes: list[str]) -> str:
    return ", ".join(map(repr, classes[:NAMED])) + (", ..." if len(classes) > NAMED else "")
