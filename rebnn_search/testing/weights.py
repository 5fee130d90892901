"""What a weight binarizer keeps to."""

from __future__ import annotations

import torch

from rebnn_search.method import BinaryConv2d, BinaryLinear


def keeps_shapes_signs_and_scales(name: str) -> None:
    """For convolutions and linear maps: two values a channel where it says so, signs where it says they are, finite gradients."""
    for make in (lambda: BinaryConv2d(3, 4, 3, weights=name), lambda: BinaryLinear(6, 4, weights=name)):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            layer = make().double()
        with torch.no_grad():
            layer.weight[0].view(-1)[0] = 0.0
        layer.binarizer.set_progress(0.5)
        used = layer.binarized()
        assert used.shape == layer.weight.shape, f"{tuple(used.shape)} from {tuple(layer.weight.shape)}"
        assert layer.signs().dtype == torch.bool, "signs() must be bool"
        used.square().sum().backward()  # type: ignore[no-untyped-call]
        assert layer.weight.grad is not None and torch.isfinite(layer.weight.grad).all(), (
            "no finite gradient reached the weights"
        )
        if layer.binarizer.binary:
            assert torch.equal(used >= 0, layer.signs()), "signs() are not those of the weights used"
            for channel in used:
                assert len(channel.abs().unique()) == 1, "a channel has more than one magnitude"


def can_be_taken_off(name: str) -> None:
    """A layer set to real weights uses its latent ones."""
    layer = BinaryLinear(6, 4, weights=name)
    layer.set_weights("real")
    assert torch.equal(layer.binarized(), layer.weight)


WEIGHTS_CHECKS = (keeps_shapes_signs_and_scales, can_be_taken_off)
"""For a binarizer by the name it is registered under."""
