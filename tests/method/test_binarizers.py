"""IR-Net, ReSTE and BiPer against their papers' equations, transcribed here in float64 with nothing of the package's."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from rebnn_search.method import BinaryConv2d, BinaryLinear, OscillationTracker, set_progress
from rebnn_search.method.weights import WEIGHTS, BiPer, IRNet, ReSTE
from rebnn_search.training import Recipe

Array = NDArray[np.float64]
PROGRESS = [0.0, 0.25, 0.5, 0.99, 1.0]


def conv(weights: Any, spread: float = 3.0) -> BinaryConv2d:
    """A layer with weights within ±0.6 or so, on both sides of every bound that the options name."""
    torch.manual_seed(0)
    layer = BinaryConv2d(3, 4, 3, weights=weights).double()
    with torch.no_grad():
        layer.weight.mul_(spread).add_(0.05)
    layer.binarizer.fit(layer.weight.detach())
    return layer


def used_and_gradient(layer: BinaryConv2d) -> tuple[Array, Array, Array, Array]:
    """The latent weights, the weights used, a G, and the gradient that reaches the latent weights: each (C_out, M)."""
    grad = torch.randn(layer.weight.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    used = layer.binarized()
    used.backward(grad)  # type: ignore[no-untyped-call]
    assert layer.weight.grad is not None
    return tuple(x.detach().flatten(1).numpy() for x in (layer.weight, used, grad, layer.weight.grad))  # type: ignore[return-value]


def signs(x: Array) -> Array:
    return np.where(x >= 0, 1.0, -1.0)


def numeric_gradient(function: Any, w: Array, step: float = 1e-6) -> Array:
    """Central differences of a scalar function at every element."""
    found = np.zeros_like(w)
    for index in np.ndindex(*w.shape):
        up, down = w.copy(), w.copy()
        up[index] += step
        down[index] -= step
        found[index] = (function(up) - function(down)) / (2 * step)
    return found


@pytest.mark.parametrize("p", PROGRESS)
def test_irnet(p: float) -> None:
    layer = conv("irnet")
    set_progress(layer, p)
    w, used, grad, got = used_and_gradient(layer)
    t = 10 ** (math.log10(0.1) + p * math.log10(10.0 / 0.1))  # T_min·10^{(i/N)·log(T_max/T_min)}
    k = max(1 / t, 1.0)

    def standardised(w: Array) -> Array:
        centred = w - w.mean(1, keepdims=True)
        return centred / centred.std(1, ddof=1, keepdims=True)

    shift = 2.0 ** np.round(np.log2(np.abs(standardised(w)).mean(1, keepdims=True)))
    np.testing.assert_allclose(used, shift * signs(standardised(w)), rtol=1e-12)
    # The stand-in of the sign, whose derivative the backward pass takes: k·tanh(t·ẘ).
    stand_in = numeric_gradient(lambda x: float((grad * shift * k * np.tanh(t * standardised(x))).sum()), w)
    np.testing.assert_allclose(got, stand_in, rtol=1e-5, atol=1e-7)
    slope = grad * shift * k * t * (1 - np.tanh(t * standardised(w)) ** 2)
    centred, m = w - w.mean(1, keepdims=True), w.shape[1]
    std = centred.std(1, ddof=1, keepdims=True)
    exact = (slope - slope.mean(1, keepdims=True)) / std
    exact -= centred * (slope * centred).sum(1, keepdims=True) / ((m - 1) * std**3)
    np.testing.assert_allclose(got, exact, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("p", PROGRESS)
def test_reste(p: float) -> None:
    layer = conv("reste", spread=9.0)
    set_progress(layer, p)
    w, used, grad, got = used_and_gradient(layer)
    o, far, near = 1 + (1 - math.cos(p * math.pi / 2)) * (3.0 - 1), 1.5, 0.1
    assert {"beyond", "within", "near"} == {
        "beyond" if abs(x) > far else "near" if abs(x) <= near else "within" for x in w.flatten()
    }
    scale = np.abs(w).mean()
    np.testing.assert_allclose(used, scale * signs(w), rtol=1e-12)

    def slope(x: float) -> float:
        if abs(x) > far:
            return 0.0
        return near ** (1 / o) / near if abs(x) <= near else (1 / o) * abs(x) ** ((1 - o) / o)

    expected = scale * grad * np.vectorize(slope)(w) + (grad * signs(w)).sum() * np.sign(w) / w.size
    np.testing.assert_allclose(got, expected, rtol=1e-10)


def test_reste_begins_as_the_straight_through_estimator() -> None:
    layer = conv("reste")
    set_progress(layer, 0.0)
    w, _, grad, got = used_and_gradient(layer)
    np.testing.assert_allclose(got, np.abs(w).mean() * grad + (grad * signs(w)).sum() * np.sign(w) / w.size, rtol=1e-12)


@pytest.mark.parametrize("frequency", [3.0, 20.0])
def test_biper(frequency: float) -> None:
    layer = conv(WEIGHTS["biper"] if frequency == 20.0 else lambda weight: BiPer(weight, frequency=frequency))
    w, used, grad, got = used_and_gradient(layer)
    scale = np.abs(w).mean(1, keepdims=True)
    np.testing.assert_allclose(used, scale * signs(np.sin(frequency * w)), rtol=1e-12)
    np.testing.assert_allclose(got, scale * grad * frequency * np.cos(frequency * w), rtol=1e-10)
    assert isinstance(layer.binarizer, BiPer)
    assert layer.binarizer.scale.grad is not None
    np.testing.assert_allclose(layer.binarizer.scale.grad.flatten(), (grad * signs(np.sin(frequency * w))).sum(1), rtol=1e-10)
    nearest = np.pi / frequency * np.round(w * frequency / np.pi)
    np.testing.assert_allclose(np.abs(layer.margins().flatten(1).numpy()), np.abs(w - nearest), atol=1e-12)


@pytest.mark.parametrize(("name", "buffer"), [("irnet", "t"), ("reste", "o")])
def test_the_schedule_moves_a_tensor_that_is_not_in_the_state(name: str, buffer: str) -> None:
    layer = BinaryLinear(3, 2, weights=name)
    before = getattr(layer.binarizer, buffer)
    first = before.clone()
    layer.binarizer.set_progress(0.5)
    assert getattr(layer.binarizer, buffer) is before and before > first  # a compiled graph reads it anew
    assert not any("binarizer" in key for key in layer.state_dict())
    with pytest.raises(ValueError, match=r"fraction must be within \[0, 1\], not 1.5"):
        layer.binarizer.set_progress(1.5)


def test_flips_of_a_square_wave_are_counted_where_it_turns() -> None:
    layer = BinaryLinear(2, 1, weights=lambda weight: BiPer(weight, frequency=math.pi)).double()  # turns at whole numbers
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.9, 0.4]]))
    tracker = OscillationTracker(layer)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.1, -0.4]]))
    assert float(tracker.observe()[0]) == 1.0
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[2.1, 1.6]]))  # a whole period on, or two turns
    assert float(tracker.observe()[0]) == 0.5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda w: IRNet(w, t_min=0.0), "t_min and t_max must be finite with 0 < t_min <= t_max, not 0.0 and 10.0"),
        (lambda w: IRNet(w, t_min=2.0, t_max=1.0), "not 2.0 and 1.0"),
        (lambda w: ReSTE(w, o_end=0.5), "o_end must be finite and >= 1, not 0.5"),
        (lambda w: ReSTE(w, near=2.0), "near and threshold must be finite with 0 < near < threshold, not 2.0 and 1.5"),
        (lambda w: BiPer(w, frequency=0.0), "frequency must be finite and > 0, not 0.0"),
    ],
)
def test_options_out_of_range(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(torch.ones(2, 3))


def test_a_recipe_takes_their_options() -> None:
    base = {"data": "digits", "network": "mlp", "epochs": 1}
    recipe = Recipe.model_validate({**base, "weights": {"name": "reste", "o_end": 2.0}})
    assert recipe.dump()["weights"] == {"name": "reste", "o_end": 2.0}
    assert Recipe.model_validate({**base, "weights": "irnet"}).dump()["weights"] == "irnet"
