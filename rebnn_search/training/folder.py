"""The folder of one training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rebnn_search.base.layout import CHECKPOINTS, RECIPE_FILE, REPORT_FILE, STAGE_ONE
from rebnn_search.training.checkpoint import CheckpointDirectory
from rebnn_search.training.recipe import Recipe, dump_recipe, load_recipe
from rebnn_search.training.run import trainer_state


@dataclass(frozen=True)
class TrainingFolder:
    """Where a training is kept: ``recipe.yaml``, ``reports.jsonl``, ``checkpoints/``, and ``stage_one/`` of a recipe that has one."""

    path: Path

    @property
    def recipe_file(self) -> Path:
        """What is trained."""
        return self.path / RECIPE_FILE

    @property
    def report_file(self) -> Path:
        """The reports, one a line, as `ReportLog` writes them."""
        return self.path / REPORT_FILE

    @property
    def checkpoint_path(self) -> Path:
        """The folder of the checkpoints."""
        return self.path / CHECKPOINTS

    def write_recipe(self, recipe: Recipe, comment: str) -> None:
        """Write the recipe, unless one is there.

        Raises:
            OSError: If it cannot be written.
        """
        if not self.recipe_file.exists():
            dump_recipe(self.recipe_file, recipe, comment)

    def changes(self, recipe: Recipe) -> list[str]:
        """The keys in which a recipe differs from the one that is kept here.

        Raises:
            UserError: If that is missing or damaged.
        """
        before, now = load_recipe(self.recipe_file).dump(), recipe.dump()
        return sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))

    def newest_state(self) -> dict[str, Any] | None:
        """The trainer's state in the newest sound checkpoint, None where there is none."""
        found = CheckpointDirectory(self.checkpoint_path).latest()
        return None if found is None else trainer_state(found[1])


def stage_one_path(workspace: Path, recipe: Recipe) -> Path:
    """Where trainings that share a workspace keep a recipe's first stage."""
    return workspace / STAGE_ONE / recipe.stage_one_key()
