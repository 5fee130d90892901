"""The ReBNN step against independent oracles: autograd in float64, and a whole training written out naively."""

import copy
import itertools

import pytest
import torch
from torch import Tensor, nn

from rebnn_search.method import SCALE_FLOOR, BinaryConv2d, BinaryLinear, ReBNN
from rebnn_search.method.gamma import Constant, FlipRatio, FlipRule, GammaStrategy, MaxGradient

KINDS = ["conv", "linear"]


class Net(nn.Module):
    """A binary layer between real ones, smooth in everything but the sign."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        if kind == "conv":
            self.first: nn.Module = nn.Conv2d(2, 3, 3, padding=1)
            self.binary: BinaryConv2d | BinaryLinear = BinaryConv2d(3, 4, 3, padding=1)
        else:
            self.first = nn.Linear(5, 6)
            self.binary = BinaryLinear(6, 4)
        self.last = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.binary(torch.tanh(self.first(x))))
        return self.last(x.mean((2, 3)) if self.kind == "conv" else x)


def make(kind: str, seed: int = 0) -> Net:
    torch.manual_seed(seed)
    net = Net(kind).double()
    with torch.no_grad():  # some weights outside [-1, 1], some exactly 0: both sides of every case
        net.binary.weight.mul_(8)
        net.binary.weight.view(-1)[::7] = 0.0
        net.binary.weight.view(-1)[3] = -0.0
        net.binary.weight.view(-1)[5] = 1.0
    return net


def batch(kind: str, seed: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shape = (6, 2, 5, 5) if kind == "conv" else (6, 5)
    x = torch.randn(shape, generator=generator, dtype=torch.float64)
    return x, torch.randint(3, (6,), generator=generator)


def set_gamma(rebnn: ReBNN, value: Tensor) -> None:
    next(iter(rebnn.gammas.values())).copy_(value)


class STE(torch.autograd.Function):
    @staticmethod
    def forward(ctx, w):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(w)
        return torch.tensor([1.0 if value >= 0 else -1.0 for value in w.flatten()], dtype=w.dtype).view_as(w)

    @staticmethod
    def backward(ctx, g):  # type: ignore[no-untyped-def]
        (w,) = ctx.saved_tensors
        return torch.where(w.abs() <= 1, g, torch.zeros_like(g))


def oracle_loss(net: Net, x: Tensor, y: Tensor, w: Tensor, alpha: Tensor, gamma: Tensor) -> Tensor:
    """L_S(α·STE(w)) + ½·Σ γ·(w − α·sign(w))², with nothing of the library in it."""
    b = STE.apply(w)
    hidden = torch.tanh(net.first(x))
    if net.kind == "conv":
        out = torch.tanh(nn.functional.conv2d(hidden, alpha * b, padding=1)).mean((2, 3))
    else:
        out = torch.tanh(hidden @ (alpha * b).T)
    task = nn.functional.cross_entropy(net.last(out), y)
    return task + 0.5 * (gamma.view(alpha.shape) * (w - alpha * b.detach()) ** 2).sum()


def oracle(net: Net, x: Tensor, y: Tensor, gamma: Tensor) -> tuple[Tensor, Tensor]:
    w = net.binary.weight.detach().clone().requires_grad_()
    alpha = net.binary.binarizer.scale.detach().clone().requires_grad_()
    dw, dalpha = torch.autograd.grad(oracle_loss(net, x, y, w, alpha, gamma), (w, alpha))
    return dw, dalpha


def step_gradients(net: Net, x: Tensor, y: Tensor, gamma: Tensor, parts: int = 1) -> tuple[Tensor, Tensor]:
    """δw and δα as the optimizer sees them: SGD with lr 1 on a copy."""
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    rebnn = ReBNN(net, gamma=Constant(0.0), scale_init="mean_abs").attach(optimizer)
    set_gamma(rebnn, gamma)
    for px, py in zip(x.chunk(parts), y.chunk(parts), strict=True):
        (nn.functional.cross_entropy(net(px), py) / parts).backward()
    seen: dict[str, Tensor] = {}
    optimizer.register_step_pre_hook(
        lambda *_: seen.update(w=net.binary.weight.grad.clone(), a=net.binary.binarizer.scale.grad.clone())  # type: ignore[union-attr]
    )
    optimizer.step()
    return seen["w"], seen["a"]


@pytest.mark.parametrize("parts", [1, 2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_the_objective(kind: str, parts: int) -> None:
    net, (x, y) = make(kind), batch(kind)
    ReBNN(net)  # sets the scales, so that the oracle sees the same
    gamma = torch.tensor([0.0, 0.3, 1e-3, 2.0], dtype=torch.float64)
    expected_w, expected_a = oracle(net, x, y, gamma)
    got_w, got_a = step_gradients(copy.deepcopy(net), x, y, gamma, parts)
    torch.testing.assert_close(got_w, expected_w, rtol=0, atol=1e-12)
    torch.testing.assert_close(got_a, expected_a, rtol=0, atol=1e-12)
    assert (expected_w.abs() > 1e-6).any()
    assert (net.binary.weight.abs() > 1).any()


STRATEGIES = [Constant(0.0), Constant(0.05), FlipRatio(), MaxGradient()]
OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.3, momentum=0.9),
    "adam": lambda p: torch.optim.Adam(p, lr=0.02),
    "adamw_foreach": lambda p: torch.optim.AdamW(p, lr=0.02, weight_decay=0.1, foreach=True),
}


def naive_gamma(strategy: GammaStrategy, old: Tensor, new: Tensor, grad: Tensor) -> Tensor:
    """γ^{t+1} of each channel by loops: Table 3.7's strategies and Eq. 3.150."""
    gammas = []
    for channel in range(len(old)):
        before, after, g = old[channel].flatten(), new[channel].flatten(), grad[channel].flatten()
        flips = sum(1 for a, b in zip(before.tolist(), after.tolist(), strict=True) if (a >= 0) != (b >= 0))
        largest = max(abs(value) for value in g.tolist())
        if isinstance(strategy, Constant):
            gammas.append(strategy.value)
        else:
            gammas.append(largest * (flips / len(g) if isinstance(strategy, FlipRatio) else 1.0))
    return torch.tensor(gammas, dtype=torch.float64)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda s: f"{type(s).__name__}{getattr(s, 'value', '')}")
@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_training_is_the_one_written_out(kind: str, strategy: GammaStrategy, name: str) -> None:
    net = make(kind)
    optimizer = OPTIMIZERS[name](net.parameters())
    rebnn = ReBNN(net, gamma=strategy).attach(optimizer)

    reference = copy.deepcopy(net)
    ref_w = reference.binary.weight
    ref_a = reference.binary.binarizer.scale.requires_grad_()
    ref_optimizer = OPTIMIZERS[name]([*reference.parameters()])
    gamma = torch.full((4,), strategy.value if isinstance(strategy, Constant) else 0.0, dtype=torch.float64)
    some_gamma = False
    for t in range(12):
        x, y = batch(kind, seed=100 + t)
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()

        ref_optimizer.zero_grad()
        used = (ref_a * STE.apply(ref_w)).detach().requires_grad_()
        hidden = torch.tanh(reference.first(x))
        out = nn.functional.conv2d(hidden, used, padding=1) if kind == "conv" else hidden @ used.T
        out = torch.tanh(out)
        task = nn.functional.cross_entropy(reference.last(out.mean((2, 3)) if kind == "conv" else out), y)
        (raw,) = torch.autograd.grad(task, used)
        oracle_loss(reference, x, y, ref_w, ref_a, gamma).backward()
        old = ref_w.detach().clone()
        ref_optimizer.step()
        with torch.no_grad():
            ref_a.clamp_(min=SCALE_FLOOR)
        gamma = naive_gamma(strategy, old, ref_w.detach(), raw)
        some_gamma |= bool((gamma > 0).any())

        torch.testing.assert_close(next(iter(rebnn.gammas.values())), gamma, rtol=1e-9, atol=1e-15)
        for (label, p), q in zip(net.named_parameters(), reference.parameters(), strict=True):
            torch.testing.assert_close(p, q, rtol=1e-9, atol=1e-11, msg=lambda m, label=label, t=t: f"{label} at {t}: {m}")
    assert some_gamma == (not isinstance(strategy, Constant) or strategy.value > 0)


def test_scale_stays_positive_where_its_gradient_drives_it_below_zero() -> None:
    net = make("linear")
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    ReBNN(net, gamma=Constant(0.0)).attach(optimizer)
    scale = net.binary.binarizer.scale
    for _ in range(3):
        net.zero_grad()
        # Loss rises with every ŵ·b, so every scale is driven down by much more than its size.
        signs = torch.where(net.binary.weight >= 0, 1.0, -1.0).double()
        (net.binary.binarized() * signs).sum().mul(100).backward()
        optimizer.step()
        assert (scale == SCALE_FLOOR).all()
        assert (net.binary.binarized().detach().abs() == SCALE_FLOOR).all()
    net.zero_grad()
    signs = torch.where(net.binary.weight >= 0, 1.0, -1.0).double()
    (net.binary.binarized() * signs).sum().mul(-0.01).backward()
    optimizer.step()
    torch.testing.assert_close(scale, torch.full_like(scale, SCALE_FLOOR + 0.01 * signs.shape[1]))


def test_state_continues_bit_for_bit() -> None:
    def build() -> tuple[Net, torch.optim.Optimizer, ReBNN]:
        net = make("conv")
        optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
        return net, optimizer, ReBNN(net).attach(optimizer)

    def run(net: Net, optimizer: torch.optim.Optimizer, steps: range) -> None:
        for t in steps:
            x, y = batch("conv", t)
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x), y).backward()
            optimizer.step()

    net, optimizer, rebnn = build()
    run(net, optimizer, range(5))
    saved = copy.deepcopy([net.state_dict(), optimizer.state_dict(), rebnn.state_dict()])
    run(net, optimizer, range(5, 10))

    again, optimizer_again, rebnn_again = build()
    again.load_state_dict(saved[0])
    optimizer_again.load_state_dict(saved[1])
    rebnn_again.load_state_dict(saved[2])
    run(again, optimizer_again, range(5, 10))
    for key, value in net.state_dict().items():
        assert torch.equal(value, again.state_dict()[key]), key
    mine, theirs = rebnn.state_dict(), rebnn_again.state_dict()
    assert mine["_extra_state"] == theirs["_extra_state"] == {"iteration": 10}
    for key, value in mine.items():
        if isinstance(value, Tensor):
            assert torch.equal(value, theirs[key]), key
    assert rebnn.collect() == rebnn_again.collect()


def test_the_model_s_own_state_has_no_trace_of_the_attachment() -> None:
    net = make("linear")
    before = set(net.state_dict())
    rebnn = ReBNN(net)
    assert set(net.state_dict()) == before
    assert list(rebnn.parameters()) == []


def test_a_layer_without_a_gradient_is_left_alone() -> None:
    net = make("linear")
    optimizer = torch.optim.Adam(net.parameters(), lr=0.1)
    rebnn = ReBNN(net, gamma="max_gradient").attach(optimizer)
    weight, scale = net.binary.weight.detach().clone(), net.binary.binarizer.scale.detach().clone()
    net.last(torch.ones(1, 4, dtype=torch.float64)).sum().backward()
    optimizer.step()
    assert torch.equal(net.binary.weight, weight)
    assert torch.equal(net.binary.binarizer.scale, scale)
    assert (next(iter(rebnn.gammas.values())) == 0).all()


@pytest.mark.parametrize(
    "gamma", ["max_gradient", "flip_ratio", FlipRule(target=0.01, average=0.9)], ids=["max", "flip", "rule"]
)
def test_a_layer_that_a_step_leaves_out_keeps_its_gamma(gamma: str | GammaStrategy) -> None:
    net, (x, y) = make("linear"), batch("linear")
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
    rebnn = ReBNN(net, gamma=gamma).attach(optimizer)
    for _ in range(3):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
    kept = {name: value.clone() for name, value in rebnn.state_dict().items() if name.endswith((".gamma", ".memory"))}
    assert (kept["_states.0.gamma"] > 0).any()
    optimizer.zero_grad()
    net.last(torch.ones(1, 4, dtype=torch.float64)).sum().backward()
    optimizer.step()
    for name, value in kept.items():
        assert torch.equal(rebnn.state_dict()[name], value), name


def test_detach_leaves_a_plain_optimizer() -> None:
    net, (x, y) = make("linear"), batch("linear")
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    rebnn = ReBNN(net, gamma=Constant(1.0)).attach(optimizer)
    rebnn.detach()
    nn.functional.cross_entropy(net(x), y).backward()
    raw = net.binary.weight.grad.clone()  # type: ignore[union-attr]
    optimizer.step()
    assert torch.equal(net.binary.weight.grad, raw)  # type: ignore[arg-type]
    rebnn.attach(optimizer)


def test_misuse_says_what_is_wrong() -> None:
    net = make("linear")
    with pytest.raises(ValueError, match=r"unknown γ-strategy 'flip': valid are constant, flip_ratio"):
        ReBNN(net, gamma="flip")
    with pytest.raises(ValueError, match=r"unknown scaling-factor init 'mean': valid are constant, fan_in, mean_abs"):
        ReBNN(net, scale_init="mean")
    with pytest.raises(ValueError, match="no resilient layer"):
        ReBNN(nn.Linear(2, 2))
    rebnn = ReBNN(net)
    without_scale = [p for n, p in net.named_parameters() if "scale" not in n]
    with pytest.raises(ValueError, match="the scale of layer 'binary' is not among the optimizer's parameters"):
        rebnn.attach(torch.optim.SGD(without_scale, lr=0.1))
    with pytest.raises(ValueError, match="LBFGS"):
        rebnn.attach(torch.optim.LBFGS(net.parameters()))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    rebnn.attach(optimizer)
    with pytest.raises(RuntimeError, match="attached to an optimizer already"):
        rebnn.attach(optimizer)
    with pytest.raises(RuntimeError, match="without a closure"):
        optimizer.step(lambda: 0.0)


@pytest.mark.parametrize(("first", "second"), [*itertools.combinations([1, 2, 8], 2)])
def test_parameter_groups_and_order_do_not_matter(first: int, second: int) -> None:
    results = []
    for groups in (first, second):
        net, (x, y) = make("conv"), batch("conv")
        parameters = list(net.parameters())
        size = -(-len(parameters) // groups)
        chunks = [{"params": parameters[i : i + size]} for i in range(0, len(parameters), size)]
        optimizer = torch.optim.Adam(chunks, lr=0.05)
        ReBNN(net).attach(optimizer)
        for _ in range(3):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x), y).backward()
            optimizer.step()
        results.append(net.binary.weight.detach())
    assert torch.equal(*results)
