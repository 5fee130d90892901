"""The published networks: ReActNet-style ResNets on Bi-Real Net's shortcuts, every 3×3 convolution with its own shortcut."""

from __future__ import annotations

from typing import Literal

from rebnn_search.method.networks.base import NETWORKS, ResidualNetwork, imagenet_stem, small_stem
from rebnn_search.method.weights import Weights

Stem = Literal["imagenet", "cifar"]


class _ResNet(ResidualNetwork):
    def __init__(self, depths: list[int], in_channels: int, num_classes: int, weights: Weights, stem: Stem) -> None:
        make = imagenet_stem if stem == "imagenet" else small_stem
        super().__init__(make(in_channels, 64), 64, [64, 128, 256, 512], depths, num_classes, weights)


@NETWORKS.register("resnet18")
class ResNet18(_ResNet):
    """16 binary convolutions in stages of 4 units, 64 to 512 channels.

    Args:
        in_channels: Channels of the images.
        num_classes: Size of the logits.
        image_size: Side of the images; not used.
        weights: The weight binarizer.
        stem: ``imagenet`` (7×7, stride 2, max-pool) or ``cifar`` (3×3, no pool), for images of 32×32.
    """

    def __init__(
        self, *, in_channels: int, num_classes: int, image_size: int, weights: Weights = "rebnn", stem: Stem = "imagenet"
    ) -> None:
        super().__init__([4, 4, 4, 4], in_channels, num_classes, weights, stem)


@NETWORKS.register("resnet34")
class ResNet34(_ResNet):
    """32 binary convolutions in stages of 6, 8, 12 and 6 units, 64 to 512 channels. Arguments as `ResNet18`."""

    def __init__(
        self, *, in_channels: int, num_classes: int, image_size: int, weights: Weights = "rebnn", stem: Stem = "imagenet"
    ) -> None:
        super().__init__([6, 8, 12, 6], in_channels, num_classes, weights, stem)


@NETWORKS.register("resnet20")
class ResNet20(ResidualNetwork):
    """18 binary convolutions in three stages of 6 units, 16 to 64 channels, on a CIFAR stem. Arguments as `ResNet18`, no stem."""

    def __init__(self, *, in_channels: int, num_classes: int, image_size: int, weights: Weights = "rebnn") -> None:
        super().__init__(small_stem(in_channels, 16), 16, [16, 32, 64], [6, 6, 6], num_classes, weights)
