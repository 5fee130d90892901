"""A teacher that this program has trained."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from rebnn_search.config import UserError
from rebnn_search.training.data import Data
from rebnn_search.training.folder import TrainingFolder
from rebnn_search.training.recipe import load_recipe
from rebnn_search.training.teachers import TEACHERS, Teacher


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
        network = recipe.build_network(data)
        try:
            network.load_state_dict(state["network"])
        except RuntimeError as error:
            raise UserError(f"loss.teacher: the network in {folder.path} does not fit the data: {error}") from None
        return network
