"""Names of the files and folders that a training and a search keep, on disk, in a store and as artifacts: see docs/resume.md."""

from __future__ import annotations

RECIPE_FILE = "recipe.yaml"
"""Of a training: what is trained."""
REPORT_FILE = "reports.jsonl"
"""Of a training: its reports, one a line."""
ATTEMPTS_FILE = "attempts.jsonl"
"""Of a trial: when it was at work, and on how much."""
CHECKPOINTS = "checkpoints"
"""Of a training: folder of its checkpoints."""
TRACE_FILE = "error.txt"
"""Of a trial: the traceback of its last failure."""
TAKEN_UP = ".trained-elsewhere"
"""Marks a trial's folder whose checkpoints came from a training elsewhere, before the trial was handed out."""
STAGE_ONE = "stage_one"
"""Of a training or a search: folder of what trainings with the same first stage share."""

SEARCH_FILE = "search.yaml"
"""Of a search: the resolved search."""
JOURNAL_FILE = "study.journal"
"""Of a search: the ledger, where that is no database."""
RESULT_FILE = "result.json"
"""Of a search: the result of its last run, once it is finished."""
BEST_RECIPE_FILE = "best.yaml"
"""Of a search: the chosen trial's recipe."""
MODEL_FILE = "model.safetensors"
"""Of a search or a trial: the packed network."""
TRIALS = "trials"
"""Of a search: folder of its trials' folders."""
REFIT = "refit"
"""Of a search: folder of its refit."""


STORAGE = "results"
"""Where searches are kept if nothing else is said."""


def trial_name(number: int) -> str:
    """The name of a trial's folder."""
    return f"{number:04d}"
