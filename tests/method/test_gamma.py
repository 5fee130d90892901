"""One suite for every γ-strategy, and each strategy's own rule."""

import pytest
import torch

from rebnn_search.method import GAMMA, BinaryLinear, ReBNN
from rebnn_search.method.gamma import Constant, FlipRatio, GammaStrategy, MaxGradient, PublishedCode

FLIPS = torch.tensor([0.0, 0.25, 1.0, 0.0])
GRADS = torch.tensor([0.5, 2.0, 1e-3, 0.0])


@pytest.fixture(params=sorted(GAMMA))
def strategy(request: pytest.FixtureRequest) -> GammaStrategy:
    return GAMMA[request.param]()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gamma_is_one_finite_non_negative_value_a_channel(strategy: GammaStrategy, dtype: torch.dtype) -> None:
    for gamma in (strategy.initial(torch.zeros(4, dtype=dtype)), strategy.update(FLIPS.to(dtype), GRADS.to(dtype), 0)):
        assert gamma.shape == (4,)
        assert gamma.dtype == dtype
        assert torch.isfinite(gamma).all()
        assert (gamma >= 0).all()


def test_inputs_are_left_as_they_were(strategy: GammaStrategy) -> None:
    flips, grads = FLIPS.clone(), GRADS.clone()
    strategy.update(flips, grads, 3).mul_(2)
    assert torch.equal(flips, FLIPS)
    assert torch.equal(grads, GRADS)


def test_channels_do_not_see_each_other(strategy: GammaStrategy) -> None:
    whole = strategy.update(FLIPS, GRADS, 5)
    single = [strategy.update(FLIPS[i : i + 1], GRADS[i : i + 1], 5) for i in range(4)]
    assert torch.equal(whole, torch.cat(single))


def test_it_trains_and_stays_finite(strategy: GammaStrategy) -> None:
    torch.manual_seed(0)
    layer = BinaryLinear(8, 4)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.05)
    rebnn = ReBNN(layer, gamma=strategy).attach(optimizer)
    for _ in range(20):
        optimizer.zero_grad()
        layer(torch.randn(5, 8)).square().mean().backward()
        optimizer.step()
    assert torch.isfinite(layer.weight).all()
    assert all((gamma >= 0).all() and torch.isfinite(gamma).all() for gamma in rebnn.gammas.values())


def test_rules() -> None:
    assert FlipRatio().update(FLIPS, GRADS, 0).tolist() == [0.0, 0.5, pytest.approx(1e-3), 0.0]
    assert torch.equal(MaxGradient().update(FLIPS, GRADS, 0), GRADS)
    assert Constant(0.3).update(FLIPS, GRADS, 0).tolist() == pytest.approx([0.3] * 4)
    assert PublishedCode().update(FLIPS, GRADS, 0).tolist() == pytest.approx([4e-6] * 4)


def test_first_step() -> None:
    zeros = torch.zeros(2)
    assert Constant(0.3).initial(zeros).tolist() == pytest.approx([0.3, 0.3])
    assert FlipRatio().initial(zeros).tolist() == MaxGradient().initial(zeros).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("value", [-1e-9, float("nan"), float("inf")])
def test_a_constant_must_be_a_finite_non_negative_number(value: float) -> None:
    with pytest.raises(ValueError, match="value must be finite and >= 0, not"):
        Constant(value)
