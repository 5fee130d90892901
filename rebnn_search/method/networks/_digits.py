"""A small residual binary network for small images."""

from __future__ import annotations

from rebnn_search.method.networks.base import DEEPEST, NETWORKS, ResidualNetwork, small_stem
from rebnn_search.method.weights import Weights


@NETWORKS.register("digits_resnet")
class DigitsResNet(ResidualNetwork):
    """Three stages of ReActNet units, of ``width``, 2·``width`` and 4·``width`` channels, for images of 8×8 and more.

    Args:
        in_channels: Channels of the images.
        num_classes: Size of the logits.
        image_size: Side of the images; not used, any from 4 works.
        weights: The weight binarizer.
        width: Channels of the first stage.
        depth: Units in each stage.

    Raises:
        ValueError: If width or depth is below 1, or depth above `DEEPEST`.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        num_classes: int,
        image_size: int,
        weights: Weights = "rebnn",
        width: int = 16,
        depth: int = 1,
    ) -> None:
        if width < 1 or not 1 <= depth <= DEEPEST:
            raise ValueError(f"width must be at least 1 and depth within 1 and {DEEPEST}, not {width} and {depth}")
        widths = [width, 2 * width, 4 * width]
        super().__init__(small_stem(in_channels, width), width, widths, [depth] * 3, num_classes, weights)
