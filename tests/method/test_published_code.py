"""The row ``published_code`` against the released implementation's arithmetic, written out as equations.

There s is the learned scale, c = 0.02, ŵ = c·s·sign(w), G = ∂L/∂ŵ, and the backward pass gives, γ being what its clamp returns,

    δw = γ·(w − ŵ) + s·G        δs_i = Σ_j G_ij·w_ij − γ·Σ_j (w_ij − ŵ_ij)·c·sign(w_ij)
"""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rebnn_search.method import GAMMA, BinaryConv2d, BinaryLinear, ReBNN

C, LOW, HIGH = 0.02, 1e-5, 2e-4


def clamped(p: float) -> float:
    """The released clamp: the least of p and the low bound, then the largest of that and the high bound."""
    return max(min(p, LOW), HIGH)


def released(w: Tensor, s: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
    """(δw, δs) for weights (C_out, ...), scales (C_out, 1, ...) and G as w."""
    dims = tuple(range(1, w.dim()))
    used = C * s * torch.sign(w)
    gamma = torch.tensor([clamped(float(g.abs().max())) for g in grad], dtype=w.dtype).view_as(s)
    d_w = gamma * (w - used) + s * grad
    d_s = (grad * w).sum(dims, keepdim=True) - gamma * ((w - used) * C * torch.sign(w)).sum(dims, keepdim=True)
    return d_w, d_s


def layer_with(kind: str) -> Any:
    torch.manual_seed(0)
    layer = (BinaryConv2d(3, 4, 3, padding=1) if kind == "conv" else BinaryLinear(6, 4)).double()
    with torch.no_grad():
        layer.weight.mul_(8)  # some outside [-1, 1]: the released code has no mask
    assert (layer.weight.abs() > 1).any()
    return layer


def batch(kind: str, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((5, 3, 4, 4) if kind == "conv" else (5, 6), generator=generator, dtype=torch.float64)


def unit(x: Tensor) -> Tensor:
    return x / x.norm()


@pytest.mark.parametrize("value", [0.0, 1e-6, 1e-5, 1e-4, 2e-4, 1e-3, 50.0])
def test_the_released_clamp_knows_one_value(value: float) -> None:
    assert clamped(value) == HIGH


@pytest.mark.parametrize("kind", ["conv", "linear"])
def test_gradients_are_the_released_ones(kind: str) -> None:
    layer = layer_with(kind)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.0)
    rebnn = ReBNN(layer, gamma="published_code", scale_init="randn_abs").attach(optimizer)
    scale = layer.binarizer.scale.detach().clone()
    layer(batch(kind, 1)).square().mean().backward()
    raw = layer.weight.grad.clone()
    expected_w, expected_s = released(layer.weight.detach(), scale / C, raw)
    optimizer.step()
    got_w, got_s = layer.weight.grad, layer.binarizer.scale.grad
    torch.testing.assert_close(unit(got_w), unit(expected_w), rtol=0, atol=1e-12)
    torch.testing.assert_close(got_w / C, expected_w, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(got_s, expected_s, rtol=0, atol=1e-12)
    # γ is counted relative to the task gradient, as every strategy's is.
    assert all(gamma.tolist() == pytest.approx([C * HIGH] * 4, rel=1e-12) for gamma in rebnn.gammas.values())


@pytest.mark.parametrize("kind", ["conv", "linear"])
def test_a_whole_training_is_the_released_one(kind: str) -> None:
    """Under Adam, which the published runs use: it does not see how long δw is, only s's own step has to be that of s."""
    layer = layer_with(kind)

    def adam(parameters: Any) -> torch.optim.Adam:
        return torch.optim.Adam(parameters, lr=1e-3, eps=1e-30)

    optimizer = adam(layer.parameters())
    ReBNN(layer, gamma="published_code", scale_init="fan_in").attach(optimizer)
    reference = copy.deepcopy(layer)
    w = nn.Parameter(layer.weight.detach().clone())
    s = nn.Parameter(layer.binarizer.scale.detach() / C)
    other = adam([w, s])
    for step in range(12):
        x = batch(kind, 10 + step)
        optimizer.zero_grad()
        layer(x).square().mean().backward()
        optimizer.step()

        used = (C * s * torch.sign(w)).detach().requires_grad_()
        out = nn.functional.conv2d(x, used, padding=1) if kind == "conv" else x @ used.T
        (raw,) = torch.autograd.grad(out.square().mean(), used)
        w.grad, s.grad = released(w.detach(), s.detach(), raw)
        other.step()
        torch.testing.assert_close(layer.weight, w, rtol=0, atol=1e-12)
        torch.testing.assert_close(layer.binarizer.scale, C * s, rtol=0, atol=1e-12)
    assert not torch.allclose(layer.weight, reference.weight, rtol=0, atol=1e-3)


def test_relative_to_the_task_gamma_is_fifty_times_weaker_than_the_constant_says() -> None:
    shares = {}
    for name, strategy in (("published_code", GAMMA["published_code"]()), ("constant", GAMMA["constant"](HIGH))):  # type: ignore[call-arg]
        layer = layer_with("linear")
        optimizer = torch.optim.SGD(layer.parameters(), lr=0.0)
        ReBNN(layer, gamma=strategy).attach(optimizer)
        layer(batch("linear", 1)).square().mean().backward()
        scale, weight = layer.binarizer.scale.detach(), layer.weight.detach()
        task = layer.weight.grad * scale * ((weight.abs() <= 1) | (name == "published_code"))
        optimizer.step()
        inside = weight.abs() <= 1
        shares[name] = float((layer.weight.grad - task)[inside].norm() / task[inside].norm())
    assert shares["constant"] / shares["published_code"] == pytest.approx(50, rel=1e-6)


def test_a_search_begun_before_goes_on() -> None:
    """Its checkpoints hold γ = 2e-4, which the first step replaces."""
    layer = layer_with("linear").float()
    optimizer = torch.optim.Adam(layer.parameters())
    rebnn = ReBNN(layer, gamma="published_code").attach(optimizer)
    state = {name: value.clone() if isinstance(value, Tensor) else value for name, value in rebnn.state_dict().items()}
    assert not any("scale_before" in name for name in state)
    state["_states.0.gamma"].fill_(HIGH)
    rebnn.load_state_dict(state)
    layer(batch("linear", 1).float()).square().mean().backward()
    optimizer.step()
    assert next(iter(rebnn.gammas.values())).tolist() == pytest.approx([C * HIGH] * 4)
