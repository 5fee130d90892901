"""The histogram of one output channel's latent weights over training (Figure 3.29)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rebnn_search.method.layers import binary_layers

BINS = 256
REACH = 16.0
"""The histogram goes from -16 to 16 units; what lies beyond is counted in the outermost bins."""


@dataclass(frozen=True)
class LatentHistogram:
    """Counts of the latent weights of the first binary layer's first output channel.

    Attributes:
        unit: Mean magnitude of the channel's latent weights when training (of stage two) began: the axis's unit.
        counts: By epoch, counts in 256 equal bins from -16 to 16 units.
    """

    unit: float
    counts: Mapping[str, list[int]]


class LatentWeights:
    """Watches one channel of a network: at the start, and whenever asked.

    Args:
        network: Any; one without binary layers gives no histograms.
        unit: That of a training that goes on; None takes it from the weights as they are now.
    """

    def __init__(self, network: nn.Module, unit: float | None = None) -> None:
        layers = binary_layers(network)
        self._weight: Tensor | None = layers[0][1].weight if layers else None
        self._start: list[int] | None = None
        self.unit = 0.0 if unit is None else unit
        if self._weight is not None and unit is None:
            self.unit = float(self._weight.detach()[0].abs().mean())
            self._start = self._counts()

    def _counts(self) -> list[int]:
        assert self._weight is not None
        values = self._weight.detach()[0].double().cpu().flatten() / max(self.unit, 1e-30)
        found: list[int] = torch.histc(values.clamp(-REACH, REACH), BINS, -REACH, REACH).long().tolist()
        return found

    def histogram(self, epoch: float) -> LatentHistogram | None:
        """The histogram as things stand, with that of the start if it has not been reported; None without binary layers."""
        if self._weight is None:
            return None
        counts = {} if self._start is None else {"0": self._start}
        self._start = None
        return LatentHistogram(self.unit, {**counts, f"{epoch:g}": self._counts()})
