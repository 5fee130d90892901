"""A GradScaler with optimizers that unscale inside their step (``fused=True``) is one with optimizers that do not."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rebnn_search.method import BinaryLinear, OscillationTracker, ReBNN

SCALE = 1024.0
OPTIMIZERS = {
    "adam": lambda p, fused: torch.optim.Adam(p, lr=0.02, fused=fused),
    "adamw": lambda p, fused: torch.optim.AdamW(p, lr=0.02, weight_decay=0.0, fused=fused),
    "sgd": lambda p, fused: torch.optim.SGD(p, lr=0.1, momentum=0.9, fused=fused),
}


def network(weights: str = "rebnn") -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 6), nn.Tanh(), BinaryLinear(6, 4, weights=weights))


def trained(name: str, *, fused: bool, scaler: bool, overflow_at: int | None = None, gamma: str = "flip_ratio",
            weights: str = "rebnn", unscale: bool = False) -> tuple[dict[str, Tensor], dict[str, Any], dict[str, float]]:  # fmt: skip
    """The network's and the method's state and statistics after eight steps, one of them perhaps an overflow."""
    net = network(weights)
    optimizer = OPTIMIZERS[name](net.parameters(), fused)
    method: Any = ReBNN(net, gamma=gamma) if weights == "rebnn" else OscillationTracker(net)
    method.attach(optimizer)
    scaling = torch.amp.GradScaler("cpu", init_scale=SCALE, growth_interval=10**6, backoff_factor=0.5, enabled=scaler)
    generator = torch.Generator().manual_seed(1)
    for step in range(8):
        x = torch.randn(7, 5, generator=generator)
        optimizer.zero_grad()
        loss = net(x * float("inf") if step == overflow_at else x).square().mean()
        if step == overflow_at and not scaler:
            continue  # what a scaler does with such a step
        scaling.scale(loss).backward()
        if unscale:
            scaling.unscale_(optimizer)
        scaling.step(optimizer)
        scaling.update()
    return copy.deepcopy(net.state_dict()), copy.deepcopy(method.state_dict()), method.collect()


def assert_alike(a: tuple[Any, ...], b: tuple[Any, ...]) -> None:
    for mine, theirs in zip(a, b, strict=True):
        assert mine.keys() == theirs.keys()
        for key, value in mine.items():
            if isinstance(value, Tensor):
                torch.testing.assert_close(value, theirs[key], rtol=1e-5, atol=1e-6, msg=lambda m, key=key: f"{key}: {m}")
            else:
                assert value == pytest.approx(theirs[key], rel=1e-5, nan_ok=True), key


@pytest.mark.parametrize("overflow_at", [None, 3])
@pytest.mark.parametrize("unscale", [False, True])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_fused_under_a_scaler_is_the_same_training(name: str, unscale: bool, overflow_at: int | None) -> None:
    plain = trained(name, fused=False, scaler=False, overflow_at=overflow_at)
    assert_alike(trained(name, fused=True, scaler=True, overflow_at=overflow_at, unscale=unscale), plain)
    assert_alike(trained(name, fused=False, scaler=True, overflow_at=overflow_at), plain)
    assert all(torch.isfinite(value).all() for value in plain[0].values())


@pytest.mark.parametrize("gamma", ["constant", "max_gradient", "published_code"])
def test_whatever_the_strategy(gamma: str) -> None:
    plain = trained("adam", fused=False, scaler=False, gamma=gamma, overflow_at=2)
    assert_alike(trained("adam", fused=True, scaler=True, gamma=gamma, overflow_at=2), plain)


def test_a_skipped_step_is_none_to_count_for_the_baselines_either() -> None:
    plain = trained("adam", fused=False, scaler=False, weights="reactnet", overflow_at=3)
    got = trained("adam", fused=True, scaler=True, weights="reactnet", overflow_at=3)
    assert_alike(got, plain)
    assert int(got[1]["steps"]) == 7


def test_an_optimizer_that_is_handed_the_scaler_is_refused() -> None:
    class Scaling(torch.optim.SGD):
        def __init__(self, parameters: Any) -> None:
            super().__init__(parameters, lr=0.1)
            self._step_supports_amp_scaling = True

        def step(self, closure: Any = None, *, grad_scaler: Any = None) -> None:  # type: ignore[override]
            super().step(closure)

    net = network()
    optimizer = Scaling(net.parameters())
    ReBNN(net).attach(optimizer)
    scaler = torch.amp.GradScaler("cpu", init_scale=SCALE)
    scaler.scale(net(torch.ones(2, 5)).sum()).backward()
    with pytest.warns(FutureWarning), pytest.raises(RuntimeError, match=r"call scaler\.unscale_\(optimizer\)"):
        scaler.step(optimizer)
