"""What a training has from its first step on: latent weights with their scaling factors and γ, and the network as it runs."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from rebnn_search.method import OscillationTracker, ReBNN
from rebnn_search.method.layers import set_products
from rebnn_search.training.data.base import seeded
from rebnn_search.training.distributed import World
from rebnn_search.training.finite import FiniteWatch
from rebnn_search.training.latent import LatentWeights
from rebnn_search.training.precision import Computing
from rebnn_search.training.recipe import Recipe


@dataclass
class StageTwo:
    """The second stage of a training, begun.

    Attributes:
        method: ReBNN, or what alone counts oscillation for other weights; attached to the optimizer.
        latent: The latent weights, as they are reported.
        finite: Watches the network for numbers that are none.
        running: The network as it is trained: compiled, or in one of several processes.
    """

    method: ReBNN | OscillationTracker
    latent: LatentWeights
    finite: FiniteWatch
    running: nn.Module


def begin_stage_two(
    recipe: Recipe,
    network: nn.Module,
    optimizer: Optimizer,
    computing: Computing,
    world: World,
    latent_unit: float | None = None,
) -> StageTwo:
    """Initialise scaling factors from the latent weights, attach the method, and compile or distribute the network.

    Args:
        recipe: The training's.
        network: With latent weights as stage one, or their initialisation, left them.
        optimizer: Whose steps the method follows.
        computing: How is computed.
        world: The processes that train.
        latent_unit: Of the histograms of a training that goes on; by default as the latent weights are now.
    """
    latent = LatentWeights(network, latent_unit)
    method: ReBNN | OscillationTracker
    if recipe.resilient:
        generator = seeded("scale", recipe.seed)
        method = ReBNN(network, gamma=recipe.gamma.build(), scale_init=recipe.scale_init.build(), generator=generator)
    else:
        method = OscillationTracker(network)
    method.attach(optimizer)
    finite = FiniteWatch(network)
    set_products(network, computing.products)
    running = computing.compiled(network)
    return StageTwo(method, latent, finite, DistributedDataParallel(running) if world.size > 1 else running)
