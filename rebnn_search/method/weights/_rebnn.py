"""ReBNN's weights: a learnable scaling factor per output channel."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rebnn_search.method.binarize import ScaledSign
from rebnn_search.method.weights.base import WEIGHTS, WeightBinarizer, mean_magnitude


@WEIGHTS.register("rebnn")
class Resilient(WeightBinarizer):
    """ŵ = α·sign(w) with α learnable (Eq. 3.143).

    In autograd ``weight.grad`` is the raw G; `rebnn_search.method.ReBNN`, attached to the optimizer, makes δw and δα of it. The
    scale is therefore a parameter without ``requires_grad``, whose ``.grad`` that step sets. It starts at mean|w| per channel.
    """

    def __init__(self, weight: Tensor) -> None:
        super().__init__(weight)
        self.scale = nn.Parameter(mean_magnitude(weight), requires_grad=False)

    def forward(self, weight: Tensor) -> Tensor:
        """Return α·sign(w)."""
        binarized: Tensor = ScaledSign.apply(weight, self.scale)
        return binarized

    def fit(self, weight: Tensor) -> None:
        """Set the scale to mean|w|; `rebnn_search.method.ReBNN` sets it by its scaling-factor init."""
        self.scale.data.copy_(mean_magnitude(weight))


def resilient_scale(binarizer: nn.Module) -> torch.Tensor | None:
    """The scale of a resilient binarizer, None of any other."""
    return binarizer.scale if isinstance(binarizer, Resilient) else None
