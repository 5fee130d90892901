"""ReActNet's weights: the scale is computed, not learned."""

from __future__ import annotations

from torch import Tensor

from rebnn_search.method.binarize import ClippedSign
from rebnn_search.method.weights.base import WEIGHTS, WeightBinarizer, mean_magnitude


@WEIGHTS.register("reactnet")
class ReActNet(WeightBinarizer):
    """mean|w|·sign(w), the mean per channel, recomputed at every forward and taken as a constant.

    Gradient: G·1[|w| ≤ 1], not multiplied by the scale (Liu et al., "ReActNet", ECCV 2020).
    """

    def forward(self, weight: Tensor) -> Tensor:
        """Return mean|w|·sign(w)."""
        binarized: Tensor = ClippedSign.apply(weight, mean_magnitude(weight))
        return binarized
