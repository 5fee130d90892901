"""Weights as bits: against bits set by hand."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rebnn_search.export._bits import pack, unpack


def by_hand(weight: torch.Tensor) -> list[int]:
    """One bit a weight, the first in the highest bit of the first byte, the last byte filled up with zeros."""
    text = "".join("0" if value < 0 else "1" for value in weight.flatten().tolist())
    text += "0" * (-len(text) % 8)
    return [int(text[i : i + 8], 2) for i in range(0, len(text), 8)]


@settings(max_examples=60, deadline=None)
@given(
    shape=st.sampled_from([(1, 1), (3, 5), (2, 3, 3, 3), (8, 2, 1, 1), (5, 7, 3, 3)]),
    seed=st.integers(0, 1000),
    negative=st.booleans(),
)
def test_bits_are_those_set_by_hand_and_come_back(shape: tuple[int, ...], seed: int, negative: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    scale = torch.rand((shape[0], *[1] * (len(shape) - 1)), generator=generator) + 1e-6
    weight = torch.where(torch.randn(shape, generator=generator) >= 0, scale, -scale) * (-1 if negative else 1)
    parts = pack(weight)
    assert set(parts) == {"bits", "scale"}
    assert parts["bits"].tolist() == by_hand(weight)
    assert torch.equal(parts["scale"], scale.flatten())
    assert torch.equal(unpack(parts, weight.shape), weight)


def test_a_zero_scale_and_the_sign_of_zero_come_back() -> None:
    weight = torch.tensor([[0.0, -0.0, 0.0], [2.0, -2.0, 2.0]])
    back = unpack(pack(weight), weight.shape)
    assert torch.equal(back.view(torch.int32), weight.view(torch.int32))


def test_two_values_that_are_not_opposite_come_back() -> None:
    weight = torch.tensor([[0.0, 1.0, 1.0, 0.0], [-3.0, -3.0, -1.0, -3.0], [5.0, 5.0, 5.0, 5.0]])
    parts = pack(weight)
    assert parts["bits"].tolist() == [0b01100010, 0b11110000]
    assert torch.equal(unpack(parts, weight.shape), weight)


@pytest.mark.parametrize("values", [[1.0, 2.0, 3.0], [1.0, -1.0, float("nan")], [0.5, -0.25, 0.25]])
def test_what_is_not_two_values_is_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="more than two values"):
        pack(torch.tensor([values]))
