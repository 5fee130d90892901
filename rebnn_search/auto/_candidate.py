"""Networks that are trained to their end: those that may become the model, and what is known of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from rebnn_search.config import UserError
from rebnn_search.export import ModelInfo, describe, load_model
from rebnn_search.study.estimate import Estimate
from rebnn_search.training import TrainingFolder, load_recipe
from rebnn_search.training.data import Data

HELD_OUT, JOINED = "training split", "training and validation split"
"""What a network was trained on."""


@dataclass(frozen=True)
class Candidate:
    """A trained network.

    Attributes:
        name: For the user.
        network: On the CPU, in evaluation mode.
        info: What it was trained as and on.
        trained_on: `HELD_OUT`, so that the validation split tells something of it, or `JOINED`.
    """

    name: str
    network: nn.Module
    info: ModelInfo
    trained_on: str


@dataclass(frozen=True)
class Made:
    """What a search, or trainings without one, came to.

    Attributes:
        shipped: What becomes the model; chosen by validation and training loss alone.
        judged: A network of the same recipe that was trained on the training split alone, by which probabilities are calibrated;
            None where there is none.
        others: Further candidates, best first; of a search by validation.
        score: Top-1 (percent) on the test split over the last trainings; None where there was none.
        trials: Of the search.
    """

    shipped: Candidate
    judged: Candidate | None
    others: list[Candidate]
    score: Estimate | None
    trials: int

    def calibrated(self, temperature: float) -> Made:
        """The same with a temperature in what becomes the model."""
        shipped = replace(self.shipped, info=self.shipped.info.model_copy(update={"temperature": temperature}))
        return replace(self, shipped=shipped, judged=shipped if self.judged is self.shipped else self.judged)


def of_training(folder: Path, name: str, data: Data) -> Candidate:
    """The network of a search's trial, as its newest checkpoint has it.

    Raises:
        UserError: If that is gone.
    """
    training = TrainingFolder(folder)
    state = training.newest_state()
    if state is None:
        raise UserError(f"{folder}: holds no checkpoint")
    recipe = load_recipe(training.recipe_file)
    network = recipe.build_network(data)
    network.load_state_dict(state["network"])
    return Candidate(name, network.eval().requires_grad_(False), describe(recipe, data), HELD_OUT)


def of_file(path: Path, name: str) -> Candidate:
    """The network of a last training's packed model."""
    model = load_model(path)
    assert model.network is not None
    return Candidate(name, model.network, model.info, JOINED)
