"""A binary multilayer perceptron."""

from __future__ import annotations

from torch import Tensor, nn

from rebnn_search.method.layers import BinaryLinear, RPReLU, RSign
from rebnn_search.method.networks.base import DEEPEST, NETWORKS
from rebnn_search.method.weights import Weights


@NETWORKS.register("mlp")
class MLP(nn.Module):
    """A real first layer, ``depth`` binary ones with shortcuts, a real classifier; images are flattened.

    Args:
        in_channels: Channels of the images.
        num_classes: Size of the logits.
        image_size: Side of the (square) images.
        weights: The weight binarizer.
        width: Features of the hidden layers.
        depth: Number of binary layers.
        norm: BatchNorm after each hidden layer. Without it no value depends on how a batch is split over workers.

    Raises:
        ValueError: If width or depth is below 1, or depth above `DEEPEST`.
    """

    def __init__(
        self, *, in_channels: int, num_classes: int, image_size: int, weights: Weights = "rebnn", width: int = 128, depth: int = 2,
        norm: bool = True,
    ) -> None:  # fmt: skip
        if width < 1 or not 1 <= depth <= DEEPEST:
            raise ValueError(f"width must be at least 1 and depth within 1 and {DEEPEST}, not {width} and {depth}")
        super().__init__()
        self.stem = nn.Sequential(nn.Linear(in_channels * image_size**2, width), _norm(width, norm))
        self.layers = nn.ModuleList(_Layer(width, weights, norm) for _ in range(depth))
        self.classifier = nn.Linear(width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, C, H, W) to logits (N, num_classes)."""
        x = self.stem(x.flatten(1))
        for layer in self.layers:
            x = layer(x)
        logits: Tensor = self.classifier(x)
        return logits


class _Layer(nn.Module):
    def __init__(self, width: int, weights: Weights, norm: bool) -> None:
        super().__init__()
        self.sign = RSign(width)
        self.linear = BinaryLinear(width, width, weights=weights)
        self.norm = _norm(width, norm)
        self.act = RPReLU(width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.act(self.norm(self.linear(self.sign(x))) + x)
        return out


def _norm(width: int, norm: bool) -> nn.Module:
    return nn.BatchNorm1d(width) if norm else nn.Identity()
