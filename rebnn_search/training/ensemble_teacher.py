"""A teacher that is several networks of one recipe, in real weights."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from rebnn_search.base.files import write_whole
from rebnn_search.base.layout import RECIPE_FILE
from rebnn_search.config import UserError
from rebnn_search.training.data import Data
from rebnn_search.training.recipe import Recipe, dump_recipe, load_recipe
from rebnn_search.training.stages import REAL
from rebnn_search.training.teachers import TEACHERS, Teacher, read_state_dict

ENDING = ".pt"
"""Of the files with the networks' weights."""


class Ensemble(nn.Module):
    """Networks whose probabilities are averaged.

    Args:
        members: At least one, from images (N, C, H, W) to logits (N, classes).
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, images: Tensor) -> Tensor:
        """The logarithm (N, classes) of the mean of the members' softmax: its own softmax is that mean."""
        each = torch.stack([member(images).float().log_softmax(1) for member in self.members])
        return each.logsumexp(0) - math.log(len(self.members))


@TEACHERS.register("ensemble")
class EnsembleTeacher(Teacher):
    """The mean of several networks' softmax, all of one recipe with real weights: what ``auto --preset best`` distils.

    Args:
        path: Folder with the ``recipe.yaml`` and the weights as ``*.pt``, as `write_ensemble` leaves them.
    """

    def __init__(self, *, path: str) -> None:
        self.path = path

    def build(self, data: Data) -> nn.Module:
        """Make the networks of the recipe there with the weights there."""
        folder = Path(self.path)
        files = sorted(folder.glob(f"*{ENDING}"))
        if not files:
            raise UserError(f"loss.teacher: {folder} holds no weights (*{ENDING})")
        recipe = load_recipe(folder / RECIPE_FILE).model_copy(update={"weights": REAL})
        members = []
        for file in files:
            network = recipe.build_network(data)
            try:
                network.load_state_dict(read_state_dict(file))
            except RuntimeError as error:
                raise UserError(f"loss.teacher: {file} does not fit the data: {error}") from None
            members.append(network)
        return Ensemble(members)


def write_ensemble(folder: Path, recipe: Recipe, networks: Sequence[nn.Module]) -> None:
    """Write networks of a recipe, trained with real weights, as a folder that the teacher reads.

    Raises:
        OSError: If it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    dump_recipe(folder / RECIPE_FILE, recipe, "Of the networks beside it, which have real weights.")
    for index, network in enumerate(networks):
        buffer = io.BytesIO()
        torch.save(network.state_dict(), buffer)
        write_whole(folder / f"member-{index}{ENDING}", buffer.getvalue())
