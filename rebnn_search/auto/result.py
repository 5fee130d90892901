"""What the command makes: its files by name, and what it tells of them."""

from __future__ import annotations

from dataclasses import dataclass

SPACE_FILE, RECIPE_FILE, MODEL_FILE, RESULT_FILE = "auto.yaml", "recipe.yaml", "model.safetensors", "auto.json"
NAME = "auto-1"
"""Of the search in ``OUT/results``."""


@dataclass(frozen=True)
class AutoResult:
    """What came of it.

    Attributes:
        out: The folder.
        model: The packed model.
        example: A file that it can classify.
        test_top1: Percent on the test split: the mean over the seeds, or of the search's chosen trial.
        half_width: Half of the mean's 95 % interval, if there is one.
        seeds: Last trainings on training and validation split; none if there was no time for one.
        majority: Percent of the test split that are of the training split's largest class.
        trials: Of the search.
        seconds: In all.
    """

    out: str
    model: str
    example: str
    test_top1: float
    half_width: float | None
    seeds: int
    majority: float
    trials: int
    seconds: float


class Interrupted(Exception):  # noqa: N818 - no error: the user wished it
    """The search was stopped by the user and can be gone on with by hand."""
