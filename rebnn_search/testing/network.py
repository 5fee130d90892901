"""What a network keeps to."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from rebnn_search.method import BinaryConv2d, BinaryLinear, ReBNN, binary_layers, set_weights

CHANNELS, SIZE, CLASSES = 3, 32, 7
Make = Callable[..., nn.Module]


def _made(make: Make, **options: object) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make(in_channels=CHANNELS, num_classes=CLASSES, image_size=SIZE, **options)


def _images(count: int) -> torch.Tensor:
    return torch.randn(count, CHANNELS, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


def gives_logits_from_images(make: Make) -> None:
    """(N, classes) from (N, C, H, W)."""
    logits = _made(make)(_images(2))
    assert logits.shape == (2, CLASSES), f"logits of shape {tuple(logits.shape)} for 2 images of {CLASSES} classes"


def has_binary_layers_between_real_ends(make: Make) -> None:
    """First and last layer have real weights, as in every network of the field; something between is binary."""
    network = _made(make)
    assert binary_layers(network), "holds no BinaryConv2d or BinaryLinear"
    first, *_, last = [m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.Linear, BinaryConv2d, BinaryLinear))]
    assert isinstance(first, (nn.Conv2d, nn.Linear)) and isinstance(last, nn.Linear)


def takes_up_stage_one(make: Make) -> None:
    """A network of real weights' state fits one of binary weights but for what its binarizers hold; then both are one function."""
    real, binary = _made(make, weights="real"), _made(make, weights="rebnn")
    missing, unexpected = binary.load_state_dict(real.state_dict(), strict=False)
    assert not unexpected and all(".binarizer." in name for name in missing), f"missing {missing}, unexpected {unexpected}"
    set_weights(real, "rebnn")
    for network in (real, binary):
        ReBNN(network.eval())
    assert torch.equal(real(_images(2)), binary(_images(2)))


def gives_every_parameter_a_gradient(make: Make) -> None:
    """Nothing is left out of the output; gradients are finite."""
    network = _made(make)
    network(_images(2)).square().mean().backward()
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, f"{name} has no gradient"
            assert parameter.grad.dtype == torch.float32 and torch.isfinite(parameter.grad).all(), (
                f"{name}'s is not finite float32"
            )


NETWORK_CHECKS = (
    gives_logits_from_images, has_binary_layers_between_real_ends, takes_up_stage_one, gives_every_parameter_a_gradient,
)  # fmt: skip
"""For anything that makes a network from ``in_channels``, ``num_classes``, ``image_size`` and ``weights``: its class."""
