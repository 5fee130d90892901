"""A large layer's step goes through its channels in blocks, and is the same to the bit."""

import pytest
import torch
from torch import Tensor

from rebnn_search.method import BinaryConv2d, BinaryLinear, ReBNN, blocks
from rebnn_search.method.blocks import by_channels
from rebnn_search.method.gamma import GAMMA

LAYERS = {"conv": lambda: BinaryConv2d(6, 10, 3), "linear": lambda: BinaryLinear(54, 10)}
INPUTS = {"conv": (4, 6, 5, 5), "linear": (4, 54)}


def trained(kind: str, strategy: str) -> tuple[dict[str, Tensor], dict[str, object]]:
    """Layer and method after some steps."""
    torch.manual_seed(0)
    layer = LAYERS[kind]()
    layer.weight.data.mul_(8)  # some beyond 1, where no gradient passes
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.3)
    method = ReBNN(layer, gamma=GAMMA.get_class(strategy)() if strategy != "constant" else GAMMA.get_class(strategy)(1e-2))
    method.attach(optimizer)
    for _ in range(4):
        optimizer.zero_grad()
        (layer(torch.randn(INPUTS[kind])) ** 3).mean().backward()
        optimizer.step()
    return dict(layer.state_dict()), method.state_dict()


@pytest.mark.parametrize("strategy", list(GAMMA))
@pytest.mark.parametrize("kind", LAYERS)
def test_steps_in_blocks_are_the_same_to_the_bit(kind: str, strategy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = trained(kind, strategy)
    seen: list[int] = []
    monkeypatch.setattr(blocks, "BLOCK", 54 * 3 // torch.get_num_threads() or 1)
    split = torch.Tensor.split
    monkeypatch.setattr(torch.Tensor, "split", lambda t, rows: seen.append(rows) or split(t, rows))  # type: ignore[func-returns-value]
    torch.testing.assert_close(trained(kind, strategy), whole, rtol=0, atol=0, equal_nan=True)
    assert seen and max(seen) < 10


@pytest.mark.parametrize("rows", [1, 3, 4, 10, 11])
def test_every_channel_is_in_one_block(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK", 7 * rows)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    values, factors, sizes = torch.randn(10, 7), torch.randn(10, 1), list[int]()
    expected = values * factors

    def compute(block: Tensor, factor: Tensor) -> Tensor:
        sizes.append(len(block))
        return block.mul_(factor).sum(1)

    found = by_channels(compute, values, factors)
    assert sizes == [10] if rows >= 10 else sizes == [*[rows] * (10 // rows), *([10 % rows] if 10 % rows else [])]
    assert torch.equal(values, expected) and torch.equal(found, expected.sum(1))
