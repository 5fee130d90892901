"""The network that a trainer trains: made, placed, and held against what the recipe asks of it on this machine."""

from __future__ import annotations

from torch import nn

from rebnn_search.config import UserError
from rebnn_search.training.batch_parts import needs_two, part_counts, says_too_small, smallest_part
from rebnn_search.training.data import Data
from rebnn_search.training.distributed import World
from rebnn_search.training.memory import check_room, explain_memory_errors
from rebnn_search.training.precision import Computing
from rebnn_search.training.recipe import Recipe


def steps_per_epoch(recipe: Recipe, data: Data, world: World) -> int:
    """Whole batches of the training split, at least 1.

    Raises:
        UserError: If there is not one, or a batch leaves nothing to some of the workers.
    """
    samples = data.size("train")
    if samples < recipe.batch_size:
        raise UserError(f"batch_size = {recipe.batch_size}: the training split has only {samples} samples")
    if recipe.batch_size < world.size:
        raise UserError(f"batch_size = {recipe.batch_size}: leaves nothing to some of the {world.size} workers")
    return samples // recipe.batch_size


def built_network(recipe: Recipe, data: Data, computing: Computing, world: World) -> nn.Module:
    """The recipe's network on its device, with initial weights of torch's random state; batch statistics synchronised if wanted.

    Raises:
        UserError: If its options make none, the memory is not enough, a BatchNorm would see a single sample, or batch
            statistics cannot be synchronised on such devices or with such parts.
    """
    try:
        network = _built(recipe, data, computing)
    except ValueError as error:
        raise UserError(f"network {recipe.network.name}: {error}") from None
    if not (recipe.sync_batch_norm and world.size > 1):
        _check_parts(recipe, data, network, world)
        return network
    if len(part_counts(recipe.batch_size, recipe.accumulate, world.size)) > 1:
        raise UserError(
            f"batch_size = {recipe.batch_size}: with accumulate = {recipe.accumulate} the {world.size} workers' shares have "
            "different numbers of parts, and sync_batch_norm: true has all wait for one another in every part; "
            f"those of a multiple of {world.size} have the same"
        )
    if computing.device.type != "cuda":
        raise UserError("sync_batch_norm: true needs every worker on a GPU: torch synchronises batch statistics there alone")
    synchronised: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
    return synchronised


def _built(recipe: Recipe, data: Data, computing: Computing) -> nn.Module:
    if ":" not in recipe.network.name:  # a user's own is tried as it is
        check_room(lambda: recipe.build_network(data), computing.device)
    with explain_memory_errors(f"network {recipe.network.name}"):
        network = recipe.build_network(data)
    return computing.placed(network)


def _check_parts(recipe: Recipe, data: Data, network: nn.Module, world: World) -> None:
    batch = (recipe.batch_size, recipe.accumulate, world.size)
    if smallest_part(*batch) == 1 and needs_two(network, data.channels, data.image_size):
        raise UserError(f"batch_size = {recipe.batch_size}: {says_too_small(*batch)}")
