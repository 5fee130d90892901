"""Scaling factors fitted to the latent weights."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rebnn_search.method.scaling.base import SCALE_INIT, ScaleInit


@SCALE_INIT.register("mean_abs")
class MeanAbs(ScaleInit):
    """α = mean|w|: the least-squares (L2) optimum of w ≈ α·sign(w), as XNOR-Net and ReActNet use it.

    The default: the binary layer begins as the closest one to the real layer that it replaces.
    """

    def scale(self, weight: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return the mean magnitude of each channel."""
        return weight.flatten(1).abs().mean(1)


@SCALE_INIT.register("median_abs")
class MedianAbs(ScaleInit):
    """α = median|w|: the least-absolute (L1) optimum of w ≈ α·sign(w).

    Worth trying where a few large weights pull the mean up, as after a long stage one: the L1 fit ignores how large they are.
    For an even number of weights it is the mean of the two middle magnitudes.
    """

    def scale(self, weight: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return the median magnitude of each channel."""
        ordered = weight.flatten(1).abs().sort(dim=1).values
        size = ordered.shape[1]
        return (ordered[:, (size - 1) // 2] + ordered[:, size // 2]) / 2


@SCALE_INIT.register("fan_in")
class FanIn(ScaleInit):
    """α = 1/(2√M): the mean magnitude that the layer's initialiser, uniform in ±1/√M (variance 1/(3M)), has in expectation.

    Worth trying after a stage one whose weights have drifted: it sets every channel of a layer back to one common, data-free
    size. Without a stage one it is `mean_abs` without the sampling noise.
    """

    def scale(self, weight: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return the expected magnitude of a fresh weight for each channel."""
        fan_in = weight[0].numel()
        return weight.new_full((weight.shape[0],), 1 / (2 * math.sqrt(fan_in)))
