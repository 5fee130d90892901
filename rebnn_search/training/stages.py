"""Stage one: real weights, binary activations, trained once for all trials that agree on what it depends on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from filelock import FileLock, Timeout
from torch import Tensor, nn

from rebnn_search.config import Component
from rebnn_search.method.layers import binary_layers
from rebnn_search.method.weights import WEIGHTS, WeightBinarizer
from rebnn_search.training.checkpoint import CheckpointDirectory
from rebnn_search.training.distributed import World
from rebnn_search.training.folder import stage_one_path
from rebnn_search.training.recipe import Recipe
from rebnn_search.training.report import Diverged, Report
from rebnn_search.training.run import ReportingTrainer, TrainingRun

NEWS_SECONDS = 60.0
"""How often a rank 0 that waits for another trial's stage one tells its ranks so: they would take a longer silence for its death."""

REAL: Component[WeightBinarizer] = Component("name", "real", {}, WEIGHTS["real"])


def stage_one_weights(
    recipe: Recipe,
    workspace: Path | None,
    world: World,
    make: Callable[[Recipe], ReportingTrainer],
    listener: Callable[[Report], None] | None = None,
) -> dict[str, Tensor]:
    """Return the network's state after stage one, trained now unless a trial with the same prefix has done so.

    Trials that ask at the same moment wait for the first; if that one dies its lock is free, and the next goes on from its last
    checkpoint. The lock and the shared files are rank 0's; the other ranks train along.

    Args:
        recipe: Of the training that stage one is the first part of.
        workspace: Folder where trainings share it; None trains it for this one alone.
        world: The processes that train it together.
        make: Makes the trainer of stage one's own recipe.
        listener: Called with each epoch's report, after its checkpoint was written.

    Raises:
        Diverged: If a loss or a weight is no finite number.
    """
    if workspace is None:
        return _train(recipe, None, world, make, listener)
    folder = stage_one_path(workspace, recipe)
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "lock")
    while not world.from_first(lambda: _acquired(lock)):
        pass  # no rank takes another for dead
    try:
        return _train(recipe, folder, world, make, listener)
    finally:
        lock.release()  # of a rank that never had it: nothing


def _acquired(lock: FileLock) -> bool:
    try:
        lock.acquire(timeout=NEWS_SECONDS)
    except Timeout:
        return False
    return True


def _train(
    recipe: Recipe,
    folder: Path | None,
    world: World,
    make: Callable[[Recipe], ReportingTrainer],
    listener: Callable[[Report], None] | None,
) -> dict[str, Tensor]:
    checkpoints = None if folder is None else CheckpointDirectory(folder)
    trainer = make(stage_one_recipe_of(recipe))
    run = TrainingRun(trainer, checkpoints=checkpoints, every_report=True, saves=world.rank == 0)
    try:
        for report in run:
            if listener is not None:
                listener(report)
    except Diverged as error:
        raise Diverged(f"in stage one, {error.reason}") from None
    state: dict[str, Tensor] = trainer.network.state_dict()
    run.close()
    return state


def stage_one_recipe_of(recipe: Recipe) -> Recipe:
    """The recipe of a recipe's stage one: real weights, its own epochs, learning rate and weight decay."""
    assert recipe.stage_one is not None
    options: Mapping[str, object] = {
        **recipe.optimizer.options, "lr": recipe.stage_one.lr, "weight_decay": recipe.stage_one.weight_decay,
    }  # fmt: skip
    return recipe.model_copy(
        update={
            "weights": REAL,
            "stage_one": None,
            "epochs": recipe.stage_one.epochs,
            "reports_per_epoch": 1,
            "optimizer": replace(recipe.optimizer, options=options),
        }
    )


def load_latent_weights(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load a stage-one network's state into one with binary weights, whose binarizers are fitted to it.

    Raises:
        ValueError: If the two differ in anything else.
    """
    missing, unexpected = network.load_state_dict(state, strict=False)
    wrong = [name for name in missing if ".binarizer." not in name] + list(unexpected)
    if wrong:
        raise ValueError(f"the stage-one weights are of another network: {', '.join(wrong)}")
    for _, layer in binary_layers(network):
        layer.binarizer.fit(layer.weight.detach())
