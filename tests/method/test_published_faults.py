"""The faults of the released implementation, each with a test that it would fail. Numbers as in the design's list."""

import inspect

import pytest
import torch

from rebnn_search.method import BinaryLinear, ReBNN
from rebnn_search.method.gamma import Constant, FlipRatio
from rebnn_search.method.scaling import MeanAbs


def trained(
    gamma: str = "flip_ratio", lr: float = 1e-3, steps: int = 1, seed: int = 0
) -> tuple[BinaryLinear, ReBNN, list[torch.Tensor]]:
    """A layer, its ReBNN and the weights before each step, under Adam."""
    torch.manual_seed(seed)
    layer = BinaryLinear(50, 20)
    optimizer = torch.optim.Adam(layer.parameters(), lr=lr)
    rebnn = ReBNN(layer, gamma=gamma).attach(optimizer)
    weights = []
    for _ in range(steps):
        weights.append(layer.weight.detach().clone())
        optimizer.zero_grad()
        layer(torch.randn(16, 50)).square().mean().backward()
        optimizer.step()
    return layer, rebnn, [*weights, layer.weight.detach().clone()]


def test_1_gamma_is_no_constant() -> None:
    rule = FlipRatio()
    flips = torch.tensor([0.1, 0.2])
    assert not torch.equal(rule.update(flips, torch.tensor([1.0, 1.0]), 0), rule.update(flips, torch.tensor([5.0, 1.0]), 0))
    assert float(rule.update(torch.tensor([0.5]), torch.tensor([3.0]), 0)) == pytest.approx(1.5)


def test_2_flips_are_those_that_happened() -> None:
    _, rebnn, weights = trained(lr=1e-3)
    happened = float(((weights[0] >= 0) != (weights[1] >= 0)).double().mean())
    assert rebnn.collect()["mean/flip_ratio"] == pytest.approx(happened)
    assert happened < 0.02  # a guess from weight − grad says tens of percent


def test_3_a_missing_gradient_is_no_reason_for_a_wrong_count() -> None:
    layer = BinaryLinear(4, 2)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    rebnn = ReBNN(layer).attach(optimizer)
    with torch.no_grad():
        layer.weight.neg_()
    optimizer.step()
    assert rebnn.collect()["mean/flip_ratio"] == 1.0


def test_4_the_max_gradient_acts_in_the_next_iteration() -> None:
    torch.manual_seed(0)
    layer = BinaryLinear(6, 3)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.0)
    rebnn = ReBNN(layer, gamma="max_gradient").attach(optimizer)
    x = torch.randn(5, 6)
    layer(x).square().mean().backward()
    raw, scale = layer.weight.grad.clone(), layer.binarizer.scale.detach()  # type: ignore[union-attr]
    optimizer.step()
    assert torch.equal(layer.weight.grad, raw * scale)  # type: ignore[arg-type]  # γ^0 = 0: no reconstruction yet
    assert torch.equal(rebnn.gammas[""], raw.abs().amax(1))


def test_5_the_clipping_mask_is_there() -> None:
    layer = BinaryLinear(3, 1)
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.5, 0.5, -1.0]]))
    ReBNN(layer, gamma=Constant(0.0)).attach(optimizer)
    layer(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    assert layer.weight.grad[0, 0] == 0  # type: ignore[index]
    assert (layer.weight.grad[0, 1:] == 1.0).all()  # type: ignore[index]  # α = mean|w| = 1


def test_6_no_hidden_factor_between_forward_and_gradient() -> None:
    layer = BinaryLinear(4, 2).double()
    ReBNN(layer, scale_init="mean_abs")
    expected = layer.weight.detach().abs().mean(1, keepdim=True) * torch.where(layer.weight >= 0, 1.0, -1.0)
    torch.testing.assert_close(layer.binarized().detach(), expected.detach(), rtol=0, atol=1e-15)


def test_7_the_scale_gradient_uses_b() -> None:
    layer = BinaryLinear(2, 1)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.0)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.9, -0.1]]))
    ReBNN(layer, gamma=Constant(0.0)).attach(optimizer)
    layer(torch.tensor([[2.0, 3.0]])).sum().backward()
    optimizer.step()
    assert float(layer.binarizer.scale.grad) == pytest.approx(2.0 * 1 + 3.0 * -1)  # type: ignore[arg-type]


def test_8_the_scale_begins_at_the_weights_size_and_zero_is_positive() -> None:
    assert inspect.signature(ReBNN).parameters["scale_init"].default == "mean_abs"
    torch.manual_seed(0)
    layer = BinaryLinear(10, 3)
    torch.testing.assert_close(layer.binarizer.scale.detach().flatten(), MeanAbs().scale(layer.weight.detach()))  # type: ignore[union-attr]
    with torch.no_grad():
        layer.weight.zero_()
    assert (layer.binarized() > 0).all()
