"""What an optimizer keeps to."""

from __future__ import annotations

import io
from collections.abc import Callable

import torch
from torch import Tensor, nn

from rebnn_search.training.optimizers import OptimizerOptions, parameter_groups

Make = Callable[[], OptimizerOptions]
DECAY = 0.5


class _Fit:
    """A linear map that is drawn towards a target, with the optimizer under test."""

    def __init__(self, make: Make, weight_decay: float = 0.0) -> None:
        options, generator = make(), torch.Generator().manual_seed(0)
        self.lr, self.model = options.lr, nn.Linear(6, 4)
        with torch.no_grad():
            for parameter in self.model.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
        self._target = [torch.randn(parameter.shape, generator=generator) for parameter in self.model.parameters()]
        self.groups = parameter_groups(self.model, weight_decay)
        self.optimizer = options.build([dict(group) for group in self.groups])

    def values(self) -> list[Tensor]:
        return [parameter.detach().clone() for parameter in self.model.parameters()]

    def step(self, count: int = 1) -> float:
        """Take steps as a training does; the loss at the last one's gradients."""
        loss = torch.zeros(())
        for _ in range(count):
            self.optimizer.zero_grad(set_to_none=True)
            loss = sum((p - t).square().sum() for p, t in zip(self.model.parameters(), self._target, strict=True))  # type: ignore[assignment]
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
        return loss.item()


def steps_each_parameter_once(make: Make) -> None:
    """All of them, and those alone, stand in its groups, each at the learning rate and weight decay of its own."""
    fit = _Fit(make, DECAY)
    given = {id(p): group["weight_decay"] for group in fit.groups for p in group["params"]}  # type: ignore[attr-defined]
    taken = [(id(p), group["weight_decay"]) for group in fit.optimizer.param_groups for p in group["params"]]
    assert dict(taken) == given and len(taken) == len(given), f"weight decay {taken} of parameters given as {given}"
    rates = {float(group["lr"]) for group in fit.optimizer.param_groups}
    assert rates == {fit.lr}, f"learning rates {sorted(rates)}, not lr {fit.lr}"


def lowers_a_loss(make: Make) -> None:
    """A square's, within 50 steps called as training calls them: without a closure."""
    fit = _Fit(make)
    first = fit.step()
    assert fit.step(50) < first, f"the loss is no less after 50 steps at the default learning rate, {fit.lr}"


def follows_the_learning_rate(make: Make) -> None:
    """A schedule sets the rate of each group before the steps of an epoch; at 0 nothing moves, decay included."""
    fit = _Fit(make, DECAY)
    fit.step(2)
    before = fit.values()
    for group in fit.optimizer.param_groups:
        group["lr"] = 0.0
    fit.step()
    assert all(map(torch.equal, before, fit.values())), "weights moved at learning rate 0"


def decays_what_it_is_told_to(make: Make) -> None:
    """Without gradients, weights of the first group shrink and the rest, of weight decay 0, stays as it was."""
    fit = _Fit(make, DECAY)
    before = fit.values()
    for parameter in fit.model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    fit.optimizer.step()
    weight, bias = fit.values()
    assert weight.norm() < before[0].norm(), "a weight did not decay"
    assert torch.equal(bias, before[1]), "what has no weight decay moved"


def goes_on_from_its_state(make: Make) -> None:
    """A new one with the state of an old one takes the same steps, to the bit: so trainings are resumed."""
    whole, first, rest = _Fit(make, DECAY), _Fit(make, DECAY), _Fit(make, DECAY)
    whole.step(6)
    first.step(3)
    file = io.BytesIO()
    torch.save({"optimizer": first.optimizer.state_dict(), "model": first.model.state_dict()}, file)
    file.seek(0)
    state = torch.load(file, weights_only=True)  # as a checkpoint is read
    rest.model.load_state_dict(state["model"])
    rest.optimizer.load_state_dict(state["optimizer"])
    rest.step(3)
    assert all(map(torch.equal, whole.values(), rest.values())), "other steps after a resume"


OPTIMIZER_CHECKS = (
    steps_each_parameter_once, lowers_a_loss, follows_the_learning_rate, decays_what_it_is_told_to, goes_on_from_its_state,
)  # fmt: skip
"""For anything that makes an optimizer's options: its class, where they have defaults."""
