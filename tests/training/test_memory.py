"""Memory that is not enough is said, before or when it is asked for."""

from typing import Any

import pytest
import torch
from torch import nn

from rebnn_search.config import UserError, parse, validate
from rebnn_search.method import BinaryLinear
from rebnn_search.method.networks import NETWORKS
from rebnn_search.training import Recipe, Trainer
from rebnn_search.training.memory import check_room, explain_memory_errors, memory_of

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_counting_allocates_nothing_and_draws_no_random_number(name: str) -> None:
    before = torch.get_rng_state()
    check_room(lambda: NETWORKS[name](in_channels=3, num_classes=10, image_size=32, weights="rebnn"), CPU)
    assert torch.equal(torch.get_rng_state(), before)


def test_one_parameter_too_many_is_too_many() -> None:
    most = memory_of(CPU) // 2 // 4
    check_room(lambda: nn.Linear(1, most // 2, bias=False), CPU)
    with pytest.raises(ValueError, match="parameters: training it takes"):
        check_room(lambda: nn.Linear(1, most + 1, bias=False), CPU)


class LooksAtValues(nn.Module):
    """Made as Swin and ConvNeXt are, whose rates of stochastic depth are numbers of a tensor."""

    def __init__(self, *, in_channels: int, num_classes: int, image_size: int, weights: Any = "rebnn", width: int = 4) -> None:
        super().__init__()
        rates = [rate.item() for rate in torch.linspace(0, 0.1, 2)]
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(in_channels * image_size**2, width), BinaryLinear(width, width, weights=weights),
            nn.BatchNorm1d(width), nn.Dropout(rates[1]), nn.Linear(width, num_classes),
        )  # fmt: skip

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layers(images)  # type: ignore[no-any-return]


def test_a_network_that_looks_at_values_as_it_is_made_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NETWORKS._classes, "looks", LooksAtValues)
    text = "data: digits\nnetwork: looks\nepochs: 1\nreports_per_epoch: 1\nbatch_size: {}"
    assert Trainer(validate(Recipe, parse(text.format(539), "recipe"), {"new": True})).next_report().iteration == 2
    one = validate(Recipe, parse(text.format(1), "recipe"), {"new": True})
    with pytest.raises(UserError, match="the network's BatchNorm has no variance of a single sample"):
        Trainer(one)


@pytest.mark.parametrize("width", [2**40, 2**63, 10**30])
def test_sizes_beyond_all_numbers_are_too_large(width: int) -> None:
    with pytest.raises(ValueError, match="is too large for any machine"):
        check_room(lambda: nn.Linear(width, width), CPU)


def test_a_real_allocation_that_fails_is_a_sentence() -> None:
    for size in (2**50, 2**61):  # more than any address, and more than any number
        with pytest.raises(UserError, match="this: the machine's memory is not enough"), explain_memory_errors("this"):
            torch.empty(size, 4)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"), explain_memory_errors("this"):
        torch.zeros(1, 2) @ torch.zeros(3, 1)


def test_memory_that_runs_out_in_a_step_ends_training_with_a_sentence() -> None:
    text = "data: digits\nnetwork: {name: digits_resnet, width: 4}\nepochs: 1\nbatch_size: 512\nreports_per_epoch: 1"
    trainer = Trainer(validate(Recipe, parse(text, "recipe")))
    trainer.network.register_forward_hook(lambda *_: torch.empty(2**50))
    with pytest.raises(UserError, match="training: the machine's memory is not enough"):
        trainer.next_report()
