"""What a γ-strategy keeps to."""

from __future__ import annotations

from collections.abc import Callable

import torch

from rebnn_search.method import BinaryLinear, GammaStrategy, ReBNN

Make = Callable[[], GammaStrategy]


def _inputs(places: slice = slice(None), dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    """Flip fractions and largest gradients of four channels, made anew: a strategy that changes them spoils no further check."""
    flips, grads = torch.tensor([0.0, 0.25, 1.0, 0.0], dtype=dtype), torch.tensor([0.5, 2.0, 1e-3, 0.0], dtype=dtype)
    return flips[places], grads[places]


def _update(strategy: GammaStrategy, flips: torch.Tensor, grads: torch.Tensor, iteration: int = 0) -> torch.Tensor:
    return strategy.update(flips, grads, iteration, strategy.memory(grads))


def gives_one_finite_non_negative_value_a_channel(make: Make) -> None:
    """In the dtype it is given, before the first step and after."""
    for dtype in (torch.float32, torch.float64):
        strategy = make()
        for gamma in (strategy.initial(torch.zeros(4, dtype=dtype)), _update(strategy, *_inputs(dtype=dtype))):
            assert gamma.shape == (4,), f"shape {tuple(gamma.shape)} for 4 channels"
            assert gamma.dtype == dtype, f"{gamma.dtype} from {dtype}"
            assert torch.isfinite(gamma).all() and (gamma >= 0).all(), f"γ must be finite and >= 0, not {gamma.tolist()}"


def leaves_its_inputs_alone(make: Make) -> None:
    """What it returns is no view of them either."""
    given = _inputs()
    _update(make(), *given, 3).mul_(2)
    assert all(map(torch.equal, given, _inputs())), "the inputs were changed, or returned"


def treats_channels_apart(make: Make) -> None:
    """A channel's γ does not depend on the others: layers of any width, and any share of one, agree."""
    whole = _update(make(), *_inputs(), 5)
    single = [_update(make(), *_inputs(slice(i, i + 1)), 5) for i in range(4)]
    assert torch.equal(whole, torch.cat(single)), f"{whole.tolist()} together, {torch.cat(single).tolist()} apart"


def remembers_channels_apart(make: Make) -> None:
    """What it keeps between steps is one row of values a channel, changed in place and for nobody else."""

    def followed(places: slice) -> torch.Tensor:
        strategy = make()
        flips, grads = _inputs(places)
        memory = strategy.memory(grads)
        assert memory is None or memory.shape[1:] == grads.shape, (
            f"a memory of shape {tuple(memory.shape)} for {len(grads)} channels"
        )
        for iteration in range(3):
            gamma = strategy.update(flips, grads, iteration, memory)
        assert all(map(torch.equal, (flips, grads), _inputs(places))), "the inputs were changed"
        assert torch.isfinite(gamma).all() and (gamma >= 0).all(), f"γ must be finite and >= 0, not {gamma.tolist()}"
        return gamma

    whole, single = followed(slice(None)), torch.cat([followed(slice(i, i + 1)) for i in range(4)])
    assert torch.equal(whole, single), f"{whole.tolist()} together, {single.tolist()} apart"


def trains(make: Make) -> None:
    """Twenty steps of a small layer stay finite."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layer = BinaryLinear(8, 4)
        optimizer = torch.optim.Adam(layer.parameters(), lr=0.05)
        rebnn = ReBNN(layer, gamma=make()).attach(optimizer)
        for _ in range(20):
            optimizer.zero_grad()
            layer(torch.randn(5, 8)).square().mean().backward()
            optimizer.step()
    assert torch.isfinite(layer.weight).all(), "the latent weights are not finite after 20 steps"
    assert all((gamma >= 0).all() and torch.isfinite(gamma).all() for gamma in rebnn.gammas.values())


GAMMA_CHECKS = (
    gives_one_finite_non_negative_value_a_channel,
    leaves_its_inputs_alone,
    treats_channels_apart,
    remembers_channels_apart,
    trains,
)
"""For anything that makes a strategy: its class, where its options have defaults."""
