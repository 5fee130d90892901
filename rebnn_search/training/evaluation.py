"""Loss and accuracy on a split."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from rebnn_search.training.data import Data, Split
from rebnn_search.training.distributed import World
from rebnn_search.training.losses import weighted_sum
from rebnn_search.training.precision import Computing

LARGEST_BATCH = 512
"""Samples that are evaluated at a time, of images up to `LARGE_SIDE`."""
LARGE_SIDE = 64
"""Side of images above which fewer are taken, so that the pixels stay as many."""


def evaluation_batch(image_size: int) -> int:
    """Samples of one forward pass of evaluation, at least 1: who trains large images in small batches has no room for more."""
    return max(1, min(LARGEST_BATCH, LARGEST_BATCH * LARGE_SIDE**2 // image_size**2))


@contextmanager
def _ieee_float32() -> Iterator[None]:
    """Without TF32, of ten bits of mantissa, in which cuDNN has convolutions of float32 unless it is told."""
    cudnn: Any = torch.backends.cudnn  # torch's annotations leave its precisions out
    before = cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision
    cudnn.allow_tf32 = (
        False  # the older flag first: torch fails for whoever reads it where it says otherwise than the newer ones
    )
    cudnn.conv.fp32_precision = cudnn.rnn.fp32_precision = "ieee"
    try:
        yield
    finally:
        cudnn.allow_tf32 = before[0] == "tf32"
        cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision = before


@torch.no_grad()
@_ieee_float32()
def evaluate(
    network: nn.Module, data: Data, split: Split, computing: Computing, world: World, class_weights: Tensor | None = None
) -> dict[str, float]:
    """Return ``loss`` (mean cross-entropy), ``top1`` and ``top5`` (percent; Top-5 of fewer classes is of all) of a split.

    Computed in float32, without autocast, cuDNN's TF32 or compilation, whatever it is trained in: the figures are those of the
    exported network.
    Every sample counts once, or by its weight, over all ranks; all ranks return the same. The network is left in the mode it was in.
    Class weights (classes,), on the device, count in the loss alone.

    Raises:
        ValueError: If the split is empty.
    """
    if data.size(split) == 0:
        raise ValueError(f"the {split} split is empty")
    training = network.training
    network.eval()
    world.share(network.buffers())  # batch statistics are each rank's own from its last step on
    k = min(5, data.num_classes)
    # Loss, hits of the first and of the first k; and what the loss is a mean over, where that is not what the hits are.
    sums = torch.zeros(3 if class_weights is None else 4, dtype=torch.float64, device=computing.device)
    batches = data.weighted_batches(
        split, batch_size=evaluation_batch(data.image_size), rank=world.rank, world_size=world.size, device=computing.device
    )
    for images, labels, weights in batches:
        logits = network(images).float()
        hits = logits.topk(k, dim=1).indices == labels[:, None]
        if weights is not None:
            hits = hits * weights[:, None]
        if class_weights is None:
            sums[0] += weighted_sum(logits, labels, weights)
        else:
            shares = class_weights[labels] if weights is None else weights * class_weights[labels]
            sums[0] += weighted_sum(logits, labels, shares)
            sums[3] += shares.double().sum()
        sums[1] += hits[:, 0].sum()
        sums[2] += hits.sum()
    network.train(training)
    given = data.weights(split)
    summed = world.sum(sums)
    loss, top1, top5 = (summed[:3] / (data.size(split) if given is None else given.double().sum())).tolist()
    if class_weights is not None:
        loss = float(summed[0] / summed[3])
    return {"loss": loss, "top1": 100 * top1, "top5": 100 * top5}


@torch.no_grad()
@_ieee_float32()
def logits_of(network: nn.Module, data: Data, split: Split) -> Tensor:
    """The logits (N, classes) float32 of a split in its order, on the CPU, computed where and as `evaluate` does.

    The network is left in the mode it was in.
    """
    training, device = network.training, next(network.parameters()).device
    network.eval()
    found = [
        network(images).float().cpu()
        for images, _ in data.batches(split, batch_size=evaluation_batch(data.image_size), device=device)
    ]
    network.train(training)
    return torch.cat(found) if found else torch.empty(0, data.num_classes)
