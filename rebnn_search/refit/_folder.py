"""What a refit keeps, below its search's folder."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from rebnn_search.base.files import write_atomically
from rebnn_search.config import UserError
from rebnn_search.storage.locate import directory_of
from rebnn_search.study.finished import FinishedSearch
from rebnn_search.training import CheckpointDirectory, Recipe, TrainingFolder


class SeedFolder:
    """``refit/seed-N/``: a training's folder, and once it is trained ``packed.safetensors`` and then ``outcome.json``.

    Args:
        search: Whose recipe is trained.
        seed: Of the training.
    """

    def __init__(self, search: FinishedSearch, seed: int) -> None:
        folder = search.folder
        self.training = TrainingFolder(search.refit_path / f"seed-{seed}")
        self.model = self.training.path / "packed.safetensors"
        self._outcome = self.training.path / "outcome.json"
        self._folder, self._number = folder, search.number

    @property
    def checkpoints(self) -> CheckpointDirectory:
        """Its checkpoints, wherever they are kept."""
        return directory_of(self._folder, self.training.checkpoint_path)

    def begin(self, recipe: Recipe) -> None:
        """Make the folder with its recipe, unless it is there.

        Raises:
            UserError: If it holds another recipe.
        """
        if self.training.recipe_file.exists() and (changed := self.training.changes(recipe)):
            raise UserError(
                f"{self.training.path.parent}: holds trainings of another recipe ({', '.join(changed)} changed): give the same "
                "--epochs to go on with them, or remove that folder to begin anew"
            )
        comment = f"The recipe of trial #{self._number} of {self._folder.name}, trained on training and validation split."
        self.training.write_recipe(recipe, comment)

    @property
    def outcome(self) -> dict[str, Any] | None:
        """What was written at the end; None before."""
        if not self._outcome.exists():
            return None
        found: dict[str, Any] = json.loads(self._outcome.read_text(encoding="utf-8"))
        return found

    def end(self, outcome: dict[str, Any]) -> None:
        """Keep how the training ended."""
        write_atomically(self._outcome, json.dumps(outcome, allow_nan=False))


def recipe_key(recipe: Recipe) -> str:
    """A hash of a recipe without its seed."""
    data = {key: value for key, value in recipe.dump().items() if key != "seed"}
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:24]
