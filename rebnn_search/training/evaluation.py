"""Loss and accuracy on a split."""

from __future__ import annotations

import torch
from torch import nn

from rebnn_search.training.data import Data, Split
from rebnn_search.training.distributed import World
from rebnn_search.training.losses import weighted_sum
from rebnn_search.training.precision import Computing

EVALUATION_BATCH = 512


@torch.no_grad()
def evaluate(network: nn.Module, data: Data, split: Split, computing: Computing, world: World) -> dict[str, float]:
    """Return ``loss`` (mean cross-entropy), ``top1`` and ``top5`` (percent; Top-5 of fewer classes is of all) of a split.

    Computed in float32, without autocast or compilation, whatever it is trained in: the figures are those of the exported network.
    Every sample counts once, or by its weight, over all ranks; all ranks return the same. The network is left in the mode it was in.

    Raises:
        ValueError: If the split is empty.
    """
    if data.size(split) == 0:
        raise ValueError(f"the {split} split is empty")
    training = network.training
    network.eval()
    world.share(network.buffers())  # batch statistics are each rank's own from its last step on
    k = min(5, data.num_classes)
    sums = torch.zeros(3, dtype=torch.float64, device=computing.device)
    batches = data.weighted_batches(
        split, batch_size=EVALUATION_BATCH, rank=world.rank, world_size=world.size, device=computing.device
    )
    for images, labels, weights in batches:
        logits = network(images.to(memory_format=computing.memory_format)).float()
        hits = logits.topk(k, dim=1).indices == labels[:, None]
        if weights is not None:
            hits = hits * weights[:, None]
        sums[0] += weighted_sum(logits, labels, weights)
        sums[1] += hits[:, 0].sum()
        sums[2] += hits.sum()
    network.train(training)
    given = data.weights(split)
    loss, top1, top5 = (world.sum(sums) / (data.size(split) if given is None else given.double().sum())).tolist()
    return {"loss": loss, "top1": 100 * top1, "top5": 100 * top5}
