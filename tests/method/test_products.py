"""Binary layers that multiply in bfloat16 while they are trained."""

import pytest
import torch
from torch import Tensor, nn

from rebnn_search.method import BinaryConv2d, BinaryLinear
from rebnn_search.method.layers import BinaryLayer, binary_layers, set_products
from rebnn_search.method.networks import NETWORKS
from rebnn_search.method.weights import Resilient


@pytest.fixture(params=["conv", "linear"])
def layer_and_input(request: pytest.FixtureRequest) -> tuple[BinaryLayer, Tensor]:
    torch.manual_seed(0)
    if request.param == "conv":
        return BinaryConv2d(8, 16, 3, 2, 1), torch.randn(4, 8, 7, 7)
    return BinaryLinear(100, 16), torch.randn(4, 100)


def gradients(layer: BinaryLayer, x: Tensor, products: torch.dtype | None) -> tuple[Tensor, Tensor, Tensor]:
    """Output, gradient of the input and of the weight."""
    layer.products, layer.weight.grad = products, None
    given = x.clone().requires_grad_()
    out = layer(given)
    out.sin().sum().backward()
    assert given.grad is not None and layer.weight.grad is not None
    return out.detach(), given.grad, layer.weight.grad


def test_what_is_multiplied_is_rounded_and_nothing_else(layer_and_input: tuple[BinaryLayer, Tensor]) -> None:
    layer, x = layer_and_input
    exact = layer.product(x.bfloat16().double(), layer.binarized().bfloat16().double())
    out, *found = gradients(layer, x, torch.bfloat16)
    assert out.dtype == torch.float32 and torch.equal(out, out.bfloat16().float())
    torch.testing.assert_close(out.double(), exact, rtol=2**-8, atol=1e-5)  # a rounding to 8 bits, of sums in another order
    plain, *expected = gradients(layer, x, None)
    assert not torch.equal(out, plain)
    for got, wanted in zip(found, expected, strict=True):
        assert got.dtype == torch.float32
        assert float((got - wanted).norm() / wanted.norm()) < 0.02


def test_signs_and_their_sums_are_exact(layer_and_input: tuple[BinaryLayer, Tensor]) -> None:
    layer, x = layer_and_input
    assert isinstance(layer.binarizer, Resilient)
    layer.binarizer.scale.data.fill_(0.25)  # sums of at most 100 signs, times a power of 2
    signs = torch.where(x >= 0, 1.0, -1.0)
    expected = layer(signs)
    layer.products = torch.bfloat16
    assert torch.equal(layer(signs), expected)


def test_evaluation_is_in_the_input_s_format(layer_and_input: tuple[BinaryLayer, Tensor]) -> None:
    layer, x = layer_and_input
    expected = layer.eval()(x)
    layer.products = torch.bfloat16
    assert torch.equal(layer(x), expected)
    assert not torch.equal(layer.train()(x), expected)


def test_it_is_set_for_all_binary_layers_of_a_model_and_no_others() -> None:
    model = nn.Sequential(NETWORKS["digits_resnet"](in_channels=1, image_size=8, num_classes=10), nn.Linear(10, 3))
    set_products(model, torch.bfloat16)
    assert {layer.products for _, layer in binary_layers(model)} == {torch.bfloat16}
    assert model(torch.randn(2, 1, 8, 8)).dtype == torch.float32
    set_products(model, None)
    assert {layer.products for _, layer in binary_layers(model)} == {None}
