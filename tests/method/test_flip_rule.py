"""The family around Eq. 3.150: its special cases to the bit, each option's own rule, and that it is resumed exactly."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from rebnn_search.method import BinaryLinear, GammaStrategy, ReBNN
from rebnn_search.method.gamma import FlipRatio, FlipRule, MaxGradient
from rebnn_search.testing import GAMMA_CHECKS
from rebnn_search.training import Recipe, Trainer

FLIPS = torch.tensor([0.0, 0.25, 1.0, 0.0], dtype=torch.float64)
GRADS = torch.tensor([0.5, 2.0, 1e-3, 0.0], dtype=torch.float64)
OPTIONS: list[dict[str, Any]] = [
    {"factor": 3.0},
    {"exponent": 0.5},
    {"average": 0.9},
    {"target": 1e-2, "feedback": 0.1},
    {"schedule": "rise"},
    {"schedule": "fall", "average": 0.5, "target": 0.1, "exponent": 2.0},
]


@pytest.mark.parametrize("check", GAMMA_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_every_member_is_a_gamma_strategy(check: Callable[[Any], None], options: dict[str, Any]) -> None:
    check(lambda: FlipRule(**options))


def trained(strategy: GammaStrategy, steps: int = 30) -> tuple[Tensor, Tensor, float]:
    """Latent weights and γ after some steps, and the share of signs that flipped in one."""
    torch.manual_seed(0)
    layer = BinaryLinear(64, 16)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.05)
    rebnn = ReBNN(layer, gamma=strategy).attach(optimizer)
    for _ in range(steps):
        optimizer.zero_grad()
        (layer(torch.randn(5, 64)) - torch.randn(5, 16)).square().mean().backward()
        optimizer.step()
    return layer.weight.detach(), next(iter(rebnn.gammas.values())), rebnn.collect()["mean/flip_ratio"]


@pytest.mark.parametrize(
    ("member", "known"), [(FlipRule(), FlipRatio()), (FlipRule(exponent=0.0), MaxGradient())], ids=["3.150", "max"]
)
def test_the_paper_s_rules_are_members_to_the_bit(member: FlipRule, known: GammaStrategy) -> None:
    torch.manual_seed(1)
    for dtype in (torch.float32, torch.float64):
        flips = torch.randint(0, 145, (500,)).to(dtype) / 144
        grads = torch.randn(500, dtype=dtype).abs()
        assert torch.equal(member.update(flips, grads, 7, member.memory(grads)), known.update(flips, grads, 7))
    ours, theirs = trained(member), trained(known)
    assert torch.equal(ours[0], theirs[0]) and torch.equal(ours[1], theirs[1])
    assert ours[2] == theirs[2] > 0


def test_factor_and_exponent() -> None:
    expected = [3 * f**0.5 * g for f, g in zip(FLIPS.tolist(), GRADS.tolist(), strict=True)]
    assert FlipRule(factor=3.0, exponent=0.5).update(FLIPS, GRADS, 0).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("options", [{"average": 0.9}, {"target": 0.1}], ids=str)
def test_what_is_followed_needs_a_memory(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="need the memory"):
        FlipRule(**options).update(FLIPS, GRADS, 0)


def test_the_average_is_exponential_and_unbiased() -> None:
    rule = FlipRule(average=0.9)
    memory = rule.memory(GRADS)
    given = [torch.rand(4, dtype=torch.float64, generator=torch.Generator().manual_seed(i)) for i in range(6)]
    for t, flips in enumerate(given):
        found = rule.update(flips, GRADS, t, memory)
        weights = [0.9 ** (t - i) for i in range(t + 1)]
        mean = sum(w * f for w, f in zip(weights, given, strict=False)) / sum(weights)
        torch.testing.assert_close(found, mean * GRADS, rtol=1e-12, atol=0)


def test_feedback_holds_back_a_channel_that_flips_more_than_the_target_and_lets_go_of_one_that_flips_less() -> None:
    rule = FlipRule(exponent=0.0, target=0.1, feedback=0.01)
    memory = rule.memory(torch.ones(3, dtype=torch.float64))
    flips, ones = torch.tensor([0.0, 0.1, 0.15], dtype=torch.float64), torch.ones(3, dtype=torch.float64)
    for t in range(50):
        gamma = rule.update(flips, ones, t, memory)
    assert gamma.tolist() == pytest.approx([math.exp(-0.5), 1.0, math.exp(0.25)])
    for t in range(5000):
        gamma = rule.update(flips, ones, t, memory)
    assert gamma.tolist() == pytest.approx([1e-3, 1.0, 1e3])


@pytest.mark.parametrize(("schedule", "shares"), [("constant", [1, 1, 1]), ("rise", [0, 0.25, 1]), ("fall", [1, 0.75, 0])])
def test_the_course_over_training(schedule: Any, shares: list[float]) -> None:
    layer = BinaryLinear(8, 4)
    rule = FlipRule(schedule=schedule)
    rebnn = ReBNN(layer, gamma=rule)
    for p, share in zip((0.0, 0.25, 1.0), shares, strict=True):
        rebnn.set_progress(p)
        torch.testing.assert_close(rule.update(FLIPS, GRADS, 0), share * FLIPS * GRADS)
    with pytest.raises(ValueError, match=r"within \[0, 1\]"):
        rebnn.set_progress(1.01)


RECIPE = {
    "data": "digits", "network": {"name": "mlp", "width": 16}, "epochs": 3, "batch_size": 256, "reports_per_epoch": 2,
    "gamma": {"strategy": "flip_rule", "average": 0.9, "target": 1e-3, "feedback": 0.2, "schedule": "fall"},
    "optimizer": {"name": "adam", "lr": 1e-2},
}  # fmt: skip


def test_a_checkpoint_holds_what_it_remembers(tmp_path: Any) -> None:
    """Resumed in the middle of an epoch = uninterrupted, γ and its memory included."""
    recipe = Recipe.model_validate(RECIPE)
    whole = Trainer(recipe, device="cpu")
    for _ in range(3):
        whole.next_report()
    torch.save(whole.state_dict(), tmp_path / "state")
    resumed = Trainer(recipe, device="cpu")
    resumed.load_state_dict(torch.load(tmp_path / "state", weights_only=True))
    reports = [trainer.next_report().metrics["oscillation/mean/gamma_mean"] for trainer in (whole, resumed)]
    assert reports[0] == reports[1] > 0
    states: list[Any] = [trainer.state_dict()["method"] for trainer in (whole, resumed)]
    assert [key for key in states[0] if key.endswith("memory")]
    for key, value in states[0].items():
        assert torch.equal(value, states[1][key]) if isinstance(value, Tensor) else value == states[1][key], key


def test_the_trainer_tells_how_far_training_is() -> None:
    trainer = Trainer(Recipe.model_validate({**RECIPE, "gamma": {"strategy": "flip_rule", "schedule": "rise"}}), device="cpu")
    gammas = [trainer.next_report().metrics["oscillation/mean/gamma_mean"] for _ in range(3)]
    assert gammas[:2] == [0.0, 0.0] and gammas[2] > 0  # p is 0 in the first epoch, of two reports


def test_strategies_without_a_memory_leave_checkpoints_as_they_were() -> None:
    assert not [key for key in ReBNN(BinaryLinear(8, 4)).state_dict() if "memory" in key]
    assert not [key for key in ReBNN(BinaryLinear(8, 4), gamma=FlipRule(factor=2.0)).state_dict() if "memory" in key]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"factor": -1.0}, "factor must be finite and >= 0, not -1.0"),
        ({"exponent": math.inf}, "exponent must be finite and >= 0, not inf"),
        ({"average": 1.0}, r"average must be within \[0, 1\), not 1.0"),
        ({"target": 2.0}, "target must be at most 1, a share of the signs, not 2.0"),
        ({"feedback": -0.1}, "feedback must be finite and >= 0, not -0.1"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FlipRule(**options)
