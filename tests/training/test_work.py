"""On a CPU what has enough to compute is compiled, or multiplied in bfloat16, where that can be; what was begun one way goes on."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn

from rebnn_search.method.networks import NETWORKS
from rebnn_search.training import Recipe, Trainer, precision, work
from rebnn_search.training.precision import Computing
from rebnn_search.training.recipe import Precision
from rebnn_search.training.work import can_compile, forward_macs, has_compiler, most_macs

Make = Callable[..., Recipe]
SHORT = ("network={name: mlp, width: 8}", "epochs=2", "reports_per_epoch=1", "batch_size=512")


@pytest.fixture
def graphs(compiled: list[torch.fx.GraphModule], monkeypatch: pytest.MonkeyPatch) -> list[torch.fx.GraphModule]:
    """What is compiled on a machine that can."""
    monkeypatch.setattr(precision, "can_compile", lambda: True)
    return compiled


@pytest.fixture
def tried_again() -> Iterator[None]:
    can_compile.cache_clear()
    yield
    can_compile.cache_clear()


def test_multiply_accumulates_are_counted() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 8, 3, stride=2),
        nn.Flatten(),
        nn.Linear(72, 10),
    )
    first, second, third = 4 * 8 * 8 * 3 * 9, 8 * 3 * 3 * 4 * 9, 72 * 10
    assert forward_macs(network, 3, 8) == first + second + third


def test_auto_takes_no_bfloat16_that_a_gpu_emulates(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = torch.device("cuda")
    for native in (False, True):
        monkeypatch.setattr(
            torch.cuda, "is_bf16_supported", lambda including_emulation=True, it=native: it or including_emulation
        )
        assert Computing(Precision(), gpu).autocast == native
        assert Computing(Precision(dtype="bfloat16"), gpu).autocast


def test_counting_leaves_the_network_alone() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.5), nn.Flatten(), nn.LazyLinear(3)).train()
    network(torch.zeros(2, 1, 8, 8))
    before, state = {name: value.clone() for name, value in network.state_dict().items()}, torch.get_rng_state()
    assert forward_macs(network, 1, 8) > 0
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert all(part.training for part in network.modules()) and torch.equal(torch.get_rng_state(), state)
    assert not any(part._forward_hooks for part in network.modules())


def test_one_that_fails_has_none() -> None:
    assert forward_macs(nn.Linear(3, 4), 1, 8) == 0


@pytest.mark.parametrize("name", ["digits_resnet", "resnet20", "mlp"])
def test_there_are_not_more_than_the_most(name: str) -> None:
    network = NETWORKS[name](in_channels=3, image_size=32, num_classes=10)
    assert 0 < forward_macs(network, 3, 32) <= most_macs(network, 32)


def decided(network: nn.Module, samples: float, **options: Any) -> bool:
    return computing(network, samples, **options).compile


def computing(network: nn.Module, samples: float, **options: Any) -> Computing:
    made = Computing(Precision(**options), torch.device("cpu"))
    made.decide(network, 1, 8, int(samples))
    return made


def test_enough_work_is_compiled_where_it_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    network = nn.Conv2d(1, 10, 8)  # 640 multiply-accumulates, 64 times as many at most
    monkeypatch.setattr(precision, "can_compile", lambda: True)
    enough = precision.COMPILE_MACS / 640
    assert decided(network, enough) and not decided(network, 0.99 * enough) and not decided(network, 0.01 * enough)
    assert decided(network, 1, compile=True) and not decided(network, enough, compile=False)
    monkeypatch.setattr(precision, "can_compile", lambda: False)
    assert not decided(network, enough)


def test_enough_work_is_multiplied_in_bfloat16_where_there_is_a_unit_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    network = nn.Conv2d(1, 10, 8)
    enough = precision.COMPILE_MACS / 640
    monkeypatch.setattr(precision, "multiplies_bfloat16", lambda: True)
    assert computing(network, enough, compile=False).products is torch.bfloat16
    assert computing(network, 0.99 * enough).products is None
    assert computing(network, 1, products="bfloat16").products is torch.bfloat16
    assert computing(network, enough, compile=False, products="float32").products is None
    for dtype in ("float32", "bfloat16"):
        assert computing(network, enough, compile=False, dtype=dtype).products is None, "all of it is to be in that"
    monkeypatch.setattr(precision, "multiplies_bfloat16", lambda: False)
    assert computing(network, enough, compile=False).products is None


def test_whether_there_is_a_unit_is_what_torch_says(monkeypatch: pytest.MonkeyPatch) -> None:
    for told in (True, False):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda told=told: {"amx_bf16": told}, raising=False)
        assert work.multiplies_bfloat16() is told
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict, raising=False)  # another architecture
    assert not work.multiplies_bfloat16()
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert not work.multiplies_bfloat16()


def test_a_training_that_was_begun_in_bfloat16_goes_on_so(recipe: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "COMPILE_MACS", 1.0)
    monkeypatch.setattr(precision, "can_compile", lambda: False)
    monkeypatch.setattr(precision, "multiplies_bfloat16", lambda: True)
    begun = Trainer(recipe(*SHORT))
    begun.next_report()
    state = copy.deepcopy(begun.state_dict())
    assert state["products"] is torch.bfloat16
    expected = begun.next_report().metrics["train/loss"]
    monkeypatch.setattr(precision, "multiplies_bfloat16", lambda: False)  # on another machine
    again = Trainer(recipe(*SHORT))
    again.load_state_dict(state)
    assert again.next_report().metrics["train/loss"] == expected
    other = Trainer(recipe(*SHORT, "precision={dtype: float32}"))
    other.load_state_dict(state)
    assert other.next_report().metrics["train/loss"] != expected, "what the recipe says holds"


def finish(trainer: Trainer) -> None:
    while not trainer.finished:
        trainer.next_report()


def test_a_training_that_was_begun_compiled_goes_on_compiled(
    recipe: Make, graphs: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "COMPILE_MACS", 1.0)
    begun = Trainer(recipe(*SHORT))
    begun.next_report()
    state = begun.state_dict()
    assert len(graphs) == 1 and state["compiled"] is True
    monkeypatch.setattr(precision, "COMPILE_MACS", 1e30)
    again = Trainer(recipe(*SHORT))
    again.load_state_dict(state)
    finish(again)
    assert len(graphs) == 2


def test_one_of_an_earlier_version_goes_on_uncompiled(recipe: Make, graphs: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    begun = Trainer(recipe(*SHORT))
    begun.next_report()
    state = {name: value for name, value in begun.state_dict().items() if name != "compiled"}
    monkeypatch.setattr(precision, "COMPILE_MACS", 1.0)
    again = Trainer(recipe(*SHORT))
    again.load_state_dict(state)
    finish(again)
    assert not graphs


@pytest.mark.usefixtures("tried_again")
def test_without_a_compiler_nothing_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "/nowhere/c++")
    assert not has_compiler() and not can_compile()


@pytest.mark.usefixtures("tried_again")
def test_one_that_fails_is_none(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def fails(*args: Any, **options: Any) -> Any:
        raise RuntimeError("Python.h: No such file")

    monkeypatch.setattr(work, "has_compiler", lambda: True)
    monkeypatch.setattr(torch, "compile", fails)
    assert not can_compile() and "torch.compile fails" in caplog.text
