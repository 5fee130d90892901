"""What a refit keeps, below its search's folder."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from rebnn_search.base.files import write_atomically
from rebnn_search.config import UserError
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.storage.locate import directory_of
from rebnn_search.training import CheckpointDirectory, Recipe, dump_recipe, load_recipe


class SeedFolder:
    """``refit/seed-N/``: ``recipe.yaml``, ``reports.jsonl``, ``checkpoints/``, and once it is trained ``packed.safetensors`` and then
    ``outcome.json``.
    """

    def __init__(self, folder: SearchFolder, seed: int) -> None:
        self.path = folder.path / "refit" / f"seed-{seed}"
        self.recipe_file = self.path / "recipe.yaml"
        self.reports = self.path / "reports.jsonl"
        self.model = self.path / "packed.safetensors"
        self._outcome = self.path / "outcome.json"
        self._folder = folder

    @property
    def checkpoints(self) -> CheckpointDirectory:
        """Its checkpoints, wherever they are kept."""
        return directory_of(self._folder, self.path / "checkpoints")

    def begin(self, recipe: Recipe) -> None:
        """Make the folder with its recipe, unless it is there.

        Raises:
            UserError: If it holds another recipe.
        """
        if self.recipe_file.exists():
            before, now = load_recipe(self.recipe_file).dump(), recipe.dump()
            changed = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
            if changed:
                raise UserError(
                    f"{self.path.parent}: holds trainings of another recipe ({', '.join(changed)} changed): give the same --epochs "
                    "to go on with them, or remove that folder to begin anew"
                )
            return
        dump_recipe(
            self.recipe_file, recipe, f"The best recipe of {self._folder.name}, trained on training and validation split."
        )

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
