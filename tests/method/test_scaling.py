"""One suite for every scaling-factor init, and what each is the optimum of."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rebnn_search.method import SCALE_FLOOR, SCALE_INIT, BinaryConv2d, ReBNN, ScaleInit
from rebnn_search.method.scaling import ConstantScale, FanIn, MeanAbs, MedianAbs, RandnAbs


@pytest.fixture(params=sorted(SCALE_INIT))
def init(request: pytest.FixtureRequest) -> ScaleInit:
    return SCALE_INIT[request.param]()


@pytest.mark.parametrize("shape", [(5, 3, 3, 3), (4, 7)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_positive_value_a_channel(init: ScaleInit, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    weight = torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(0))
    before = weight.clone()
    scale = init.scale(weight, torch.Generator().manual_seed(1))
    assert scale.shape == shape[:1]
    assert scale.dtype == dtype
    assert (scale > 0).all()
    assert torch.equal(weight, before)


def test_the_same_generator_state_gives_the_same(init: ScaleInit) -> None:
    weight = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    first, second = (init.scale(weight, torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(first, second)


def test_a_channel_of_zeros_is_raised_to_the_floor(init: ScaleInit) -> None:
    layer = BinaryConv2d(2, 3, 3)
    with torch.no_grad():
        layer.weight[1] = 0
    ReBNN(layer, scale_init=init, generator=torch.Generator().manual_seed(0))
    assert (layer.binarizer.scale >= SCALE_FLOOR).all()  # type: ignore[operator]


@given(st.lists(st.floats(-3, 3).filter(lambda v: abs(v) > 1e-3), min_size=1, max_size=9), st.floats(-1, 1))
def test_mean_and_median_are_the_optima_they_claim(values: list[float], shift: float) -> None:
    w = torch.tensor([values], dtype=torch.float64)
    b = torch.where(w >= 0, 1.0, -1.0).double()

    def error(alpha: float, power: int) -> float:
        return float((w - alpha * b).abs().pow(power).sum())

    mean, median = (float(init.scale(w)) for init in (MeanAbs(), MedianAbs()))
    assert error(mean, 2) <= error(mean + shift, 2) + 1e-9
    assert error(median, 1) <= error(median + shift, 1) + 1e-9


def test_fan_in_is_what_the_initialiser_gives_on_average() -> None:
    torch.manual_seed(0)
    layer = BinaryConv2d(64, 256, 3)
    expected = layer.weight.detach().abs().mean()
    assert FanIn().scale(layer.weight.detach()).mean() == pytest.approx(float(expected), rel=0.01)
    assert (FanIn().scale(layer.weight.detach()) == 1 / (2 * math.sqrt(64 * 9))).all()


def test_constant_and_random() -> None:
    weight = torch.zeros(20000, 1)
    assert (ConstantScale(0.25).scale(weight) == 0.25).all()
    draws = RandnAbs().scale(weight, torch.Generator().manual_seed(0))
    assert float(draws.mean()) == pytest.approx(0.02 * math.sqrt(2 / math.pi), rel=0.02)
    assert not torch.equal(draws, RandnAbs().scale(weight, torch.Generator().manual_seed(1)))
    with pytest.raises(ValueError, match="value must be finite and > 0, not 0"):
        ConstantScale(0.0)
