"""The trainer that all trials share: recipe, data, training, checkpoints. Needs neither Ray, Optuna nor MLflow."""

from rebnn_search.training.checkpoint import CheckpointDirectory
from rebnn_search.training.recipe import Recipe, dump_recipe, load_recipe, load_recipe_document
from rebnn_search.training.report import Diverged, Report
from rebnn_search.training.trainer import Trainer

__all__ = [
    "CheckpointDirectory",
    "Diverged",
    "Recipe",
    "Report",
    "Trainer",
    "dump_recipe",
    "load_recipe",
    "load_recipe_document",
]
