"""What a binary network is made of: parameters, binary weights and bits, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from rebnn_search.method.layers import BinaryLayer


@dataclass(frozen=True)
class LayerSummary:
    """One module that holds parameters of its own.

    Attributes:
        name: As ``named_modules`` gives it.
        kind: Class of the module.
        parameters: How many, binary weights included.
        binary_weights: How many of them are used as one bit.
    """

    name: str
    kind: str
    parameters: int
    binary_weights: int

    @property
    def bits(self) -> int:
        """Size in use: a bit for a binary weight, 32 for any other parameter."""
        return self.binary_weights + 32 * (self.parameters - self.binary_weights)


def summary(model: nn.Module) -> list[LayerSummary]:
    """The layers of a model that hold parameters, in its order; a binary layer with its scaling factors."""
    found = []
    inside: set[int] = set()
    for name, module in model.named_modules():
        if id(module) in inside:
            continue
        if isinstance(module, BinaryLayer):
            inside |= {id(child) for child in module.modules()}
            count = sum(p.numel() for p in module.parameters())
            binary = module.weight.numel() if module.binarizer.binary else 0
            found.append(LayerSummary(name, type(module).__name__, count, binary))
        elif own := sum(p.numel() for p in module.parameters(recurse=False)):
            found.append(LayerSummary(name, type(module).__name__, own, 0))
    return found


def format_summary(layers: Sequence[LayerSummary]) -> str:
    """The summary as a table of text with its totals."""
    total = LayerSummary("total", "", sum(x.parameters for x in layers), sum(x.binary_weights for x in layers))
    width = max((len(layer.name) for layer in layers), default=5)
    lines = [f"{'layer':{width}}  {'kind':14}{'parameters':>12}{'binary':>12}{'KiB':>10}"]
    lines += [
        f"{layer.name:{width}}  {layer.kind:14}{layer.parameters:>12,}{layer.binary_weights:>12,}{layer.bits / 8192:>10,.1f}"
        for layer in [*layers, total]
    ]
    return "\n".join(lines)
