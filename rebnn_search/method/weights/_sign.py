"""The plain binarizers: a sign without a scale, and none at all."""

from __future__ import annotations

import torch
from torch import Tensor

from rebnn_search.method.binarize import ClippedSign
from rebnn_search.method.weights.base import WEIGHTS, WeightBinarizer, per_channel


@WEIGHTS.register("sign")
class PlainSign(WeightBinarizer):
    """sign(w) with the gradient G·1[|w| ≤ 1] (Courbariaux et al., "BinaryNet", 2016): the control without any scale."""

    one: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__(weight)
        self.register_buffer("one", torch.ones(per_channel(weight), dtype=weight.dtype, device=weight.device), persistent=False)

    def forward(self, weight: Tensor) -> Tensor:
        """Return sign(w)."""
        binarized: Tensor = ClippedSign.apply(weight, self.one)
        return binarized


@WEIGHTS.register("real")
class Real(WeightBinarizer):
    """The latent weights as they are: stage one of two-stage training (W32A1); a recipe cannot choose it."""

    binary = False

    def forward(self, weight: Tensor) -> Tensor:
        """Return w."""
        return weight
