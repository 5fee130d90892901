"""What a weight binarizer keeps to."""

from __future__ import annotations

import inspect

import torch

from rebnn_search.method import WEIGHTS, BinaryConv2d, BinaryLinear
from rebnn_search.training import Recipe


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


def takes_its_options(name: str) -> None:
    """In a recipe each option may be given; given its default it changes nothing, and it is kept when the recipe is written."""
    if not WEIGHTS[name].binary:
        return
    arguments = list(inspect.signature(WEIGHTS[name]).parameters.values())
    assert arguments and arguments[0].name == "weight", "the constructor's first argument must be called weight"
    nameless = [argument.name for argument in arguments[1:] if argument.default is argument.empty]
    assert not nameless, f"the option {nameless[0]} needs a default: `weights: {name}` gives none"
    options = {argument.name: argument.default for argument in arguments[1:]}
    base = {"data": "digits", "network": "mlp", "epochs": 1}
    recipe = Recipe.model_validate({**base, "weights": {"name": name, **options}})
    assert Recipe.model_validate(recipe.dump()) == recipe, "its options are not what they were when the recipe is read again"
    layers = [BinaryLinear(6, 4, weights="real").double() for _ in range(2)]
    layers[1].load_state_dict(layers[0].state_dict())
    layers[0].set_weights(name)
    layers[1].set_weights(recipe.weights.build)
    for layer in layers:
        layer.binarizer.set_progress(0.5)
    assert torch.equal(layers[0].binarized(), layers[1].binarized()), "an option's default, given, is not the option left out"


WEIGHTS_CHECKS = (keeps_shapes_signs_and_scales, can_be_taken_off, takes_its_options)
"""For a binarizer by the name it is registered under."""
