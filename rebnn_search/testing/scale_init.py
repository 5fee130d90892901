"""What a scaling-factor init keeps to."""

from __future__ import annotations

from collections.abc import Callable

import torch

from rebnn_search.method import SCALE_FLOOR, BinaryConv2d, ReBNN, ScaleInit

Make = Callable[[], ScaleInit]


def gives_one_positive_value_a_channel(make: Make) -> None:
    """In the weights' dtype, for convolutions and linear maps; the weights stay as they were."""
    for shape in ((5, 3, 3, 3), (4, 7)):
        for dtype in (torch.float32, torch.float64):
            weight = torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(0))
            before = weight.clone()
            scale = make().scale(weight, torch.Generator().manual_seed(1))
            assert scale.shape == shape[:1], f"shape {tuple(scale.shape)} for {shape[0]} channels"
            assert scale.dtype == dtype, f"{scale.dtype} from {dtype}"
            assert (scale > 0).all(), f"α must be > 0, not {scale.tolist()}"
            assert torch.equal(weight, before), "the weights were changed"


def draws_from_the_generator_alone(make: Make) -> None:
    """The same generator state gives the same scales."""
    weight = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    first, second = (make().scale(weight, torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(first, second), "two calls with one seed differ"


def bears_a_channel_of_zeros(make: Make) -> None:
    """Scales are raised to the floor below which α would not train."""
    layer = BinaryConv2d(2, 3, 3)
    with torch.no_grad():
        layer.weight[1] = 0
    ReBNN(layer, scale_init=make(), generator=torch.Generator().manual_seed(0))
    scale = layer.binarizer.scale
    assert isinstance(scale, torch.Tensor) and (scale >= SCALE_FLOOR).all()


SCALE_INIT_CHECKS = (gives_one_positive_value_a_channel, draws_from_the_generator_alone, bears_a_channel_of_zeros)
"""For anything that makes an init: its class, where its options have defaults."""
