"""What every executor does to train a trial: from its task to the run of its training, and from what ends that to the news of it."""

from __future__ import annotations

from collections.abc import Callable

from rebnn_search.config import Document, UserError, validate
from rebnn_search.execution.task import TrialTask, TrialUpdate
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.storage.locate import checkpoints_of
from rebnn_search.study.attributes import DIVERGED
from rebnn_search.study.measuring import measure
from rebnn_search.training import Diverged, Recipe, Report, Trainer, TrainingRun, UnreadableCheckpointError
from rebnn_search.training.data.facts import OtherDataError


def recipe_of(task: TrialTask) -> Recipe:
    """The recipe of a task.

    Raises:
        UserError: If the values of its configuration do not go together.
    """
    return validate(Recipe, Document("recipe", dict(task.recipe)))


def device_of(gpus: float) -> str | None:
    """Where a trial is trained: on the GPU that it is given (None, for no other is visible to it), without one on the CPU.

    Ray leaves all GPUs visible to a process that asked for none.
    """
    return None if gpus else "cpu"


def begin_run(
    task: TrialTask, folder: SearchFolder, recipe: Recipe, *, rank: int = 0, listener: Callable[[Report], None] | None = None
) -> TrainingRun:
    """Bring a task's training to where it was.

    Args:
        task: The trial.
        folder: The search's, on this node.
        recipe: Of the task, from `recipe_of`.
        rank: Of this process among those that train the trial: the first measures, and writes the checkpoints.
        listener: As of `rebnn_search.training.Trainer`.

    Raises:
        UserError: If the recipe, its data or the machine are unfit.
    """
    trainer = Trainer(recipe, device=device_of(task.gpus), workspace=folder.path, listener=listener)
    measuring = measure(trainer, task.measured if rank == 0 else ())
    checkpoints = checkpoints_of(folder, task.number, task.owner if rank == 0 else None)
    run = TrainingRun(trainer, checkpoints=checkpoints, saves=rank == 0, measure=measuring)
    if not trainer.reports_done:
        recipe.check()  # two parameters of a space may not go together
    return run


def failure(error: Diverged | UserError) -> TrialUpdate:
    """The news of a training that ended where no retry would mend it, or the user must."""
    if isinstance(error, UnreadableCheckpointError | OtherDataError):
        return TrialUpdate(stops=str(error))
    return TrialUpdate(failed=f"{DIVERGED}: {error.reason}" if isinstance(error, Diverged) else str(error))
