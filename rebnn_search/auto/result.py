"""What the command makes: its files by name, and what it tells of them."""

from __future__ import annotations

from dataclasses import dataclass

from rebnn_search.auto._alternatives import Alternative
from rebnn_search.auto._balance import Balance
from rebnn_search.auto._calibrate import TemperatureFit
from rebnn_search.auto._distil import Distilled
from rebnn_search.auto._importance import ColumnImportance
from rebnn_search.auto._leaderboard import Finalist

SPACE_FILE, RECIPE_FILE, MODEL_FILE, RESULT_FILE = "auto.yaml", "recipe.yaml", "model.safetensors", "auto.json"
TEACHERS = "teachers"
"""Folder of the networks that were distilled."""
NAME = "auto-1"
"""Of the search in ``OUT/results``."""


@dataclass(frozen=True, kw_only=True)
class AutoResult:
    """What came of it.

    Attributes:
        out: The folder.
        model: The packed model.
        example: A file that it can classify.
        test_top1: Percent on the test split: the mean over the seeds, or of the network that is the model.
        half_width: Half of the mean's 95 % interval, if there is one.
        seeds: Last trainings on training and validation split; none if there was no time for one.
        majority: Percent of the test split that are of the training split's largest class.
        trials: Of the search.
        seconds: In all.
        preset: How the time was used.
        network: Which of the trained networks the model is.
        trained_on: What that was trained on.
        test_balanced: Of the model: mean over the classes of the percent of the test split that are right.
        balance: How classes count.
        calibration: Of the model's probabilities.
        distilled: What came of the distillation; None where the preset has none.
        leaderboard: The model and the other finalists, chosen by validation alone.
        left_out: Finalists that there was no time for.
        comparison: What else the user could have had.
        importance: Of a table's columns; None where there is none.
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
    preset: str
    network: str
    trained_on: str
    test_balanced: float
    balance: Balance
    calibration: TemperatureFit
    distilled: Distilled | None
    leaderboard: list[Finalist]
    left_out: list[str]
    comparison: list[Alternative]
    importance: ColumnImportance | None


class Interrupted(Exception):  # noqa: N818 - no error: the user wished it
    """The search was stopped by the user and can be gone on with by hand."""
