"""The trainer that all trials share: recipe, data, training, checkpoints. Needs neither Ray, Optuna nor MLflow."""

from rebnn_search.training.checkpoint import CheckpointDirectory, UnreadableCheckpointError
from rebnn_search.training.ensemble_teacher import EnsembleTeacher
from rebnn_search.training.folder import TrainingFolder
from rebnn_search.training.recipe import Recipe, dump_recipe, load_recipe, load_recipe_document
from rebnn_search.training.report import Diverged, Report, Stopped
from rebnn_search.training.report_log import ReportLog, TrackedReport, read_reports
from rebnn_search.training.run import TrainingRun
from rebnn_search.training.trained_teacher import TrainedTeacher
from rebnn_search.training.trainer import Trainer

__all__ = [
    "CheckpointDirectory",
    "Diverged",
    "EnsembleTeacher",
    "Recipe",
    "Report",
    "ReportLog",
    "Stopped",
    "TrackedReport",
    "TrainedTeacher",
    "Trainer",
    "TrainingFolder",
    "TrainingRun",
    "UnreadableCheckpointError",
    "dump_recipe",
    "load_recipe",
    "load_recipe_document",
    "read_reports",
]
