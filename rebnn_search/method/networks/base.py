"""The registry of networks, and the unit they are built of.

To add one: a module beside this file with an ``nn.Module`` under ``@NETWORKS.register("name")``. Its
constructor takes ``in_channels``, ``num_classes``, ``image_size`` and ``weights`` (a `rebnn_search.method.weights.Weights`) as
keywords, which the program supplies; its other arguments are its options in a recipe (``network: {name: name, option: value}``).
"""

from __future__ import annotations

from torch import Tensor, nn

from rebnn_search.base.registry import Registry
from rebnn_search.method.layers import BinaryConv2d, RPReLU, RSign
from rebnn_search.method.weights import Weights

NETWORKS: Registry[nn.Module] = Registry("network")
"""Networks by name."""

CONTEXT = ("in_channels", "num_classes", "image_size", "weights")
"""Constructor arguments that come from the data and the recipe, not from the network's options."""

DEEPEST = 1000
"""Layers, or units of a stage, that a network may be asked for: making more takes for ever before any of them trains."""


class BinaryUnit(nn.Module):
    """RSign → 3×3 binary convolution → BatchNorm → + shortcut → RPReLU (ReActNet's unit on Bi-Real Net's shortcut).

    Where the shape changes the shortcut is a 2×2 average pool, a real 1×1 convolution and a BatchNorm.

    Args:
        in_channels: C_in of the input (N, C_in, H, W).
        out_channels: C_out of the output (N, C_out, H/stride, W/stride).
        stride: 1 or 2.
        weights: The weight binarizer.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, weights: Weights) -> None:
        super().__init__()
        self.sign = RSign(in_channels)
        self.conv = BinaryConv2d(in_channels, out_channels, 3, stride, 1, weights=weights)
        self.norm = nn.BatchNorm2d(out_channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            pool: nn.Module = nn.AvgPool2d(2, stride, ceil_mode=True) if stride != 1 else nn.Identity()
            real = nn.Conv2d(in_channels, out_channels, 1, bias=False)
            self.shortcut = nn.Sequential(pool, real, nn.BatchNorm2d(out_channels))
        self.act = RPReLU(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C_in, H, W) to (N, C_out, H/stride, W/stride)."""
        out: Tensor = self.act(self.norm(self.conv(self.sign(x))) + self.shortcut(x))
        return out


def stages(in_channels: int, widths: list[int], depths: list[int], weights: Weights) -> nn.Sequential:
    """Units in stages; every stage after the first halves the image at its first unit."""
    units = []
    for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        for index in range(depth):
            units.append(BinaryUnit(in_channels, width, 2 if stage and not index else 1, weights))
            in_channels = width
    return nn.Sequential(*units)


class ResidualNetwork(nn.Module):
    """A real stem, stages of binary units, global average pooling and a real classifier."""

    def __init__(
        self, stem: nn.Module, stem_width: int, widths: list[int], depths: list[int], num_classes: int, weights: Weights
    ) -> None:
        super().__init__()
        self.stem = stem
        self.units = stages(stem_width, widths, depths, weights)
        self.classifier = nn.Linear(widths[-1], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, C, H, W) to logits (N, num_classes)."""
        logits: Tensor = self.classifier(self.units(self.stem(x)).mean((2, 3)))
        return logits


def small_stem(in_channels: int, width: int) -> nn.Module:
    """A real 3×3 convolution and BatchNorm that keep the image's size: for small images."""
    return nn.Sequential(nn.Conv2d(in_channels, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width))


def imagenet_stem(in_channels: int, width: int) -> nn.Module:
    """The real 7×7 convolution, BatchNorm and max-pool that quarter an ImageNet image."""
    return nn.Sequential(nn.Conv2d(in_channels, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width), nn.MaxPool2d(3, 2, 1))
