"""Signs and the gradients that stand in for theirs, against formulas written out element by element."""

import math

import pytest
import torch
from torch import Tensor

from rebnn_search.method import WEIGHTS, BinaryConv2d, BinaryLinear, RPReLU, RSign, sign
from rebnn_search.method.binarize import ScaledSign
from rebnn_search.method.weights import ReCU

POINTS = [-1.5, -1.0, -0.75, -1e-45, -0.0, 0.0, 1e-45, 0.25, 1.0, 1.5]


def test_sign_is_never_zero() -> None:
    x = torch.tensor(POINTS)
    assert sign(x).tolist() == [-1, -1, -1, -1, 1, 1, 1, 1, 1, 1]


@pytest.mark.parametrize("dims", [(2, 3), (2, 3, 4, 4)])
def test_rsign(dims: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    layer = RSign(3).double()
    with torch.no_grad():
        layer.shift.copy_(torch.tensor([[0.3, -0.2, 0.0]]))
    x = torch.randn(dims, dtype=torch.float64)
    x.view(-1)[0] = -0.3  # exactly on the threshold of channel 0
    x.requires_grad_()
    g = torch.randn(dims, dtype=torch.float64)
    out = layer(x)
    out.backward(g)
    shift = layer.shift.detach().view(1, 3, *[1] * (len(dims) - 2))
    u = x.detach() + shift
    assert torch.equal(out, torch.where(u >= 0, 1.0, -1.0).double())
    slope = torch.tensor([max(0.0, 2 - 2 * abs(v)) for v in u.flatten().tolist()], dtype=torch.float64).view(dims)
    torch.testing.assert_close(x.grad, g * slope, rtol=0, atol=1e-12)
    summed = (g * slope).transpose(0, 1).flatten(1).sum(1)
    torch.testing.assert_close(layer.shift.grad, summed[None], rtol=0, atol=1e-12)


def test_the_polynomial_s_derivative_is_that_of_the_polynomial() -> None:
    def polynomial(v: Tensor) -> Tensor:
        inner = torch.where(v < 0, 2 * v + v * v, 2 * v - v * v)
        return torch.where(v < -1, torch.full_like(v, -1.0), torch.where(v >= 1, torch.full_like(v, 1.0), inner))

    v = torch.tensor([[-1.2, -0.9, -0.1, 0.0, 0.3, 0.99, 1.3]], dtype=torch.float64).T.requires_grad_()
    (expected,) = torch.autograd.grad(polynomial(v).sum(), v)
    (got,) = torch.autograd.grad(RSign(1).double()(v).sum(), v)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dims", [(3, 2), (3, 2, 4, 4)])
def test_rprelu_is_its_definition_in_autograd(dims: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    layer = RPReLU(2).double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_()
    x = torch.randn(dims, dtype=torch.float64, requires_grad=True)
    parameters = [p.detach().clone().requires_grad_() for p in (layer.in_shift, layer.slope, layer.out_shift)]
    a, s, o = (p.view(1, 2, *[1] * (len(dims) - 2)) for p in parameters)
    u = x - a
    reference = torch.where(u > 0, u, s * u) + o
    torch.testing.assert_close(layer(x), reference, rtol=0, atol=1e-12)
    g = torch.randn(dims, dtype=torch.float64)
    expected = torch.autograd.grad(reference, [x, *parameters], g)
    got = torch.autograd.grad(layer(x), [x, layer.in_shift, layer.slope, layer.out_shift], g)
    for mine, theirs in zip(got, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-12)


def test_raw_gradient_reaches_the_latent_weight() -> None:
    w = torch.tensor([[0.0, -2.0], [3.0, -0.1]], requires_grad=True)
    scale = torch.tensor([[0.5], [2.0]])
    out = ScaledSign.apply(w, scale)
    assert out.tolist() == [[0.5, -0.5], [2.0, -2.0]]
    out.backward(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    assert w.grad is not None
    assert w.grad.tolist() == [[1.0, 2.0], [3.0, 4.0]]


@pytest.fixture(params=sorted(WEIGHTS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("make", [lambda k: BinaryConv2d(3, 4, 3, weights=k), lambda k: BinaryLinear(6, 4, weights=k)])
def test_every_binarizer_keeps_to_the_interface(kind: str, make) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    layer = make(kind).double()
    with torch.no_grad():
        layer.weight[0].view(-1)[0] = 0.0
    layer.binarizer.set_progress(0.5)
    used = layer.binarized()
    assert used.shape == layer.weight.shape
    assert layer.signs().dtype == torch.bool
    used.square().sum().backward()
    assert torch.isfinite(layer.weight.grad).all()
    if layer.binarizer.binary:
        assert torch.equal(used >= 0, layer.signs())
        for channel in used:
            assert len(channel.abs().unique()) == 1
    layer.set_weights("real")
    assert torch.equal(layer.binarized(), layer.weight)


def test_reactnet_weights() -> None:
    layer = BinaryLinear(3, 2, weights="reactnet").double()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.5, -1.5, 1.0], [0.0, 0.2, -0.4]], dtype=torch.float64))
    used = layer.binarized()
    expected = torch.tensor([[1.0, -1.0, 1.0], [0.2, 0.2, -0.2]], dtype=torch.float64)
    torch.testing.assert_close(used, expected, rtol=0, atol=1e-12)
    g = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], dtype=torch.float64)
    used.backward(g)
    assert layer.weight.grad is not None
    assert layer.weight.grad.tolist() == [[1.0, 0.0, 3.0], [4.0, 5.0, 6.0]]


@pytest.mark.parametrize("fraction", [0.0, 0.5, 1.0])
def test_recu_weights_by_autograd_of_the_definition(fraction: float) -> None:
    torch.manual_seed(0)
    layer = BinaryConv2d(3, 4, 3, weights="recu").double()
    with torch.no_grad():
        layer.weight.normal_().pow_(3)  # heavy tails, so that some weights are clamped at any τ
    layer.binarizer.set_progress(fraction)
    A = (0.99 - 0.85) / (math.e - 1)
    tau = A * math.exp(fraction) + 0.85 - A
    assert isinstance(layer.binarizer, ReCU)
    assert float(layer.binarizer.tau) == pytest.approx(tau)
    g = torch.randn(4, 3, 3, 3, dtype=torch.float64)
    used = layer.binarized()
    used.backward(g)

    w = layer.weight.detach().clone().requires_grad_()
    scale = layer.binarizer.scale.detach().clone().requires_grad_()
    flat = w.flatten(1)
    centred = flat - flat.mean(1, keepdim=True)
    std = (centred.pow(2).sum(1, keepdim=True) / (flat.shape[1] - 1) + 1e-5).sqrt()
    standard = centred / (std / (2 * math.sqrt(2)))
    bound = -float(standard.detach().abs().mean()) * math.log(2 - 2 * tau)
    clamped = standard.clamp(-bound, bound).view_as(w)
    straight = clamped + (torch.where(clamped >= 0, 1.0, -1.0) - clamped).detach()
    reference = scale * straight
    torch.testing.assert_close(used, reference, rtol=0, atol=1e-12)
    dw, ds = torch.autograd.grad(reference, (w, scale), g)
    torch.testing.assert_close(layer.weight.grad, dw, rtol=0, atol=1e-12)
    torch.testing.assert_close(layer.binarizer.scale.grad, ds, rtol=0, atol=1e-12)
    outside = (standard.abs() > bound).double().mean()
    assert 0 < outside < 0.5


def test_recu_counts_the_signs_it_uses() -> None:
    layer = BinaryLinear(2, 1, weights="recu")
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.5, 0.1]]))
    assert layer.signs().tolist() == [[True, False]]


def test_unknown_weights_list_the_valid_ones() -> None:
    with pytest.raises(
        ValueError,
        match="unknown weight binarizer 'rebn': valid are biper, irnet, reactnet, real, rebnn, recu, reste, sign; did you mean",
    ):
        BinaryLinear(2, 2, weights="rebn")
