"""Binary operations of a forward pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from rebnn_search.method import binary_layers
from rebnn_search.study.objectives.base import OBJECTIVES, MeasuredNetwork, MeasuredObjective

SAMPLE_SEED = 0


@OBJECTIVES.register("binary_ops")
class BinaryOps(MeasuredObjective):
    """Multiply-accumulates a sample of one-bit weights with one-bit activations, each an XNOR and a count; less is better.

    As Bi-Real Net (Liu et al., arXiv 1808.00278) and ReActNet (arXiv 2003.03488) count them: a place of the kernel that lies on the
    padding counts, too, and what is not binary on both sides does not.
    """

    static = True
    units: ClassVar[Mapping[str, float]] = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}
    least = 0.0
    form = ",.0f"

    @torch.no_grad()
    def measure(self, model: MeasuredNetwork) -> float:
        """Count them while the network computes one sample of noise."""
        found: list[int] = []

        def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            sizes, weight = inputs[0].abs(), layer.weight
            assert isinstance(weight, Tensor)
            if bool((sizes == sizes.max()).all()):
                found.append(output[0].numel() * weight[0].numel())

        layers = [layer for _, layer in binary_layers(model.network) if layer.binarizer.binary]
        hooks = [layer.register_forward_hook(count) for layer in layers]
        info = model.info
        noise = torch.randn(
            1, info.channels, info.image_size, info.image_size, generator=torch.Generator().manual_seed(SAMPLE_SEED)
        )
        try:
            model.network(noise)
        finally:
            for hook in hooks:
                hook.remove()
        return float(sum(found))
