"""ReCU beside what its authors released: the schedule of τ, the scales after stage one, where its signs turn."""

import math

import pytest
import torch

from rebnn_search.method import WEIGHTS, BinaryConv2d, BinaryLinear, OscillationTracker, set_progress
from rebnn_search.method.weights import ReCU


def recu(layer: BinaryLinear | BinaryConv2d) -> ReCU:
    assert isinstance(layer.binarizer, ReCU)
    return layer.binarizer


@pytest.mark.parametrize("epochs", [1, 2, 7, 600])
def test_tau_is_a_times_e_to_the_share_of_epochs_plus_b(epochs: int) -> None:
    layer = BinaryLinear(3, 2, weights="recu").double()
    low, high = 0.85, 0.99
    A = (high - low) / (math.e - 1)
    B = low - A
    for epoch in range(epochs):
        set_progress(layer, epoch / epochs)
        assert float(recu(layer).tau) == pytest.approx(A * math.e ** (epoch / epochs) + B, rel=1e-12)
    set_progress(layer, 1.0)
    assert float(recu(layer).tau) == pytest.approx(high, rel=1e-12)


def test_tau_moves_with_the_network_and_is_not_in_its_state() -> None:
    layer = BinaryLinear(3, 2, weights="recu")
    tau = recu(layer).tau
    layer.binarizer.set_progress(0.5)
    assert recu(layer).tau is tau  # the same tensor: a compiled graph reads it anew
    assert "binarizer.tau" not in layer.state_dict()
    assert recu(layer.to(torch.float64)).tau.dtype == torch.float64


@pytest.mark.parametrize("shift", [0.0, 0.3, -5.0])
def test_near_zero_is_measured_from_where_the_signs_turn(shift: float) -> None:
    weight = torch.tensor([[0.0, 0.05, -0.05, 1.0, -1.0, 0.0]], dtype=torch.float64)
    found = {}
    for name in ("recu", "sign"):
        layer = BinaryLinear(6, 1, weights=name).double()
        with torch.no_grad():
            layer.weight.copy_(weight + shift)
        found[name] = OscillationTracker(layer).collect()["mean/near_zero_fraction"]
        near = layer.weight.detach() - (shift if name == "recu" else 0)
        assert found[name] == pytest.approx(float((near.abs() < 0.1 * near.abs().mean()).double().mean()))
    assert found["recu"] == pytest.approx(2 / 6)
    assert (found["sign"] == found["recu"]) == (shift == 0)


@pytest.mark.parametrize("name", sorted(WEIGHTS))
def test_a_sign_turns_where_the_margin_does(name: str) -> None:
    torch.manual_seed(0)
    layer = BinaryConv2d(3, 4, 3, weights=name)
    with torch.no_grad():
        layer.weight.add_(0.1)
    assert torch.equal(layer.margins() >= 0, layer.signs())


@pytest.mark.parametrize("name", ["recu", "rebnn"])
def test_scales_are_fitted_to_weights_that_take_others_place(name: str) -> None:
    layer = BinaryConv2d(3, 4, 3, weights=name)
    scale = layer.binarizer.scale
    with torch.no_grad():
        layer.weight.mul_(7)
    layer.binarizer.fit(layer.weight.detach())
    assert layer.binarizer.scale is scale  # the optimizer holds it
    torch.testing.assert_close(scale.detach().flatten(), layer.weight.detach().abs().mean((1, 2, 3)))
