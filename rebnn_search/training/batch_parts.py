"""Parts of a batch too small for a BatchNorm, which has no variance of one value a channel."""

from __future__ import annotations

import copy

import torch
from torch import nn

from rebnn_search.training.data.base import rank_part


def smallest_part(batch_size: int, accumulate: int, workers: int = 1) -> int:
    """The fewest samples of one forward pass of training: a batch is shared by the workers, a share computed in parts."""
    shares = [rank_part(batch_size, rank, workers) for rank in range(workers)]
    sizes: set[int] = {share.stop - share.start for share in shares}
    parts = {size: -(-size // accumulate) for size in sizes if size}  # as Tensor.chunk: all alike but the last
    return min(size % part or part for size, part in parts.items())


def part_counts(batch_size: int, accumulate: int, workers: int) -> set[int]:
    """In how many parts the workers compute their shares of a batch; several where they do not agree."""
    sizes = {share.stop - share.start for share in (rank_part(batch_size, rank, workers) for rank in range(workers))}
    return {
        -(-size // -(-size // accumulate)) for size in sizes if size
    }  # as Tensor.chunk, which may give fewer than asked for


def needs_two(network: nn.Module, channels: int, image_size: int) -> bool:
    """Whether the network, in training, refuses a batch of one image (1, channels, image_size, image_size). Leaves it as it was."""
    tensor = next(network.parameters(), torch.empty(0))
    trial = copy.deepcopy(network).train()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[tensor.device] if tensor.is_cuda else []):
            trial(torch.zeros(1, channels, image_size, image_size, device=tensor.device))
    except ValueError as error:
        return "more than 1 value per channel" in str(error)
    return False


def says_too_small(batch_size: int, accumulate: int, workers: int = 1) -> str:
    """What is wrong with a batch of whose parts one is a single sample."""
    if accumulate == workers == 1:
        return "the network's BatchNorm has no variance of a single sample: must be at least 2"
    several = f" on {workers} workers" if workers > 1 else ""
    return (
        f"accumulate = {accumulate}{several} leaves a part of a single sample, of which the network's BatchNorm has no variance; "
        f"{2 * accumulate * workers} leaves none"
    )
