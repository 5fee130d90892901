"""The trainer's parts against figures worked out by hand."""

import itertools
import math
import shutil
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from rebnn_search.method import NETWORKS
from rebnn_search.training import Recipe, Trainer
from rebnn_search.training.data import ResidentData, Samples
from rebnn_search.training.distributed import World
from rebnn_search.training.evaluation import LARGEST_BATCH, evaluate
from rebnn_search.training.optimizers import OPTIMIZERS, parameter_groups
from rebnn_search.training.precision import Computing
from rebnn_search.training.recipe import Precision
from rebnn_search.training.schedules import SCHEDULES

Make = Callable[..., Recipe]
CPU = torch.device("cpu")


class Looker(nn.Module):
    """Its logits are the images' pixels."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)


def pixels(count: int, classes: int) -> ResidentData:
    """Samples whose images are logits: one pixel a channel, as many channels as classes."""
    generator = torch.Generator().manual_seed(4)
    images = torch.randn(count, classes, 1, 1, generator=generator)
    samples = Samples(images, torch.randint(classes, (count,), generator=generator))
    splits = {"train": samples, "validation": samples, "test": samples}
    return ResidentData(splits, [str(k) for k in range(classes)], torch.zeros(classes), torch.ones(classes))  # type: ignore[arg-type]


@pytest.mark.parametrize(("count", "classes"), [(3, 2), (700, 7), (LARGEST_BATCH, 4), (LARGEST_BATCH + 1, 12)])
def test_evaluation_is_what_counting_gives(count: int, classes: int) -> None:
    data = pixels(count, classes)
    network = Looker().train()
    got = evaluate(network, data, "validation", Computing(Precision(), CPU), World())
    samples = data.samples("validation")
    loss, top1, top5 = 0.0, 0, 0
    for row, label in zip(samples.images.flatten(1).tolist(), samples.labels.tolist(), strict=True):
        loss -= row[label] - math.log(sum(map(math.exp, row)))
        better = sum(value > row[label] for value in row)
        top1 += better < 1
        top5 += better < 5
    assert got["loss"] == pytest.approx(loss / count, rel=1e-5)
    assert got["top1"] == pytest.approx(100 * top1 / count)
    assert got["top5"] == pytest.approx(100 * top5 / count)
    assert network.training


@pytest.mark.parametrize(
    ("name", "warmup", "expected"),
    [
        ("linear", 0, [1.0, 0.75, 0.5, 0.25]),
        ("linear", 1, [0.5, 0.75, 0.5, 0.25]),
        ("cosine", 0, [1.0, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2]),
        ("constant", 3, [0.25, 0.5, 0.75, 1.0]),
    ],
)
def test_schedules(name: str, warmup: int, expected: list[float]) -> None:
    schedule = SCHEDULES[name](warmup_epochs=warmup)  # type: ignore[call-arg]
    assert [schedule.factor(epoch, 4) for epoch in range(4)] == pytest.approx(expected)


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_starts_at_one_stays_within_and_refuses_a_negative_warmup(name: str) -> None:
    factors = [SCHEDULES[name]().factor(epoch, 100) for epoch in range(100)]
    assert factors[0] == 1
    assert all(0 < b <= a for a, b in itertools.pairwise(factors))
    with pytest.raises(ValueError, match="warmup_epochs must be >= 0, not -1"):
        SCHEDULES[name](warmup_epochs=-1)  # type: ignore[call-arg]


def test_the_learning_rate_of_each_epoch_is_the_schedule_s(recipe: Make) -> None:
    trainer = Trainer(recipe("epochs=4", "reports_per_epoch=1", "optimizer.lr=0.02"))
    assert [trainer.next_report().metrics["train/lr"] for _ in range(4)] == pytest.approx([0.02, 0.015, 0.01, 0.005])


def test_weights_decay_and_nothing_else() -> None:
    network = NETWORKS["digits_resnet"](in_channels=1, num_classes=10, image_size=8, width=4)  # type: ignore[call-arg]
    decay, rest = parameter_groups(network, 0.1)
    assert (decay["weight_decay"], rest["weight_decay"]) == (0.1, 0.0)
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    assert {names[id(p)] for p in decay["params"]} == {
        "stem.0.weight", "classifier.weight", *(f"units.{i}.conv.weight" for i in range(3)),
        *(f"units.{i}.shortcut.1.weight" for i in (1, 2)),
    }  # fmt: skip
    assert len(decay["params"]) + len(rest["params"]) == len(names)
    assert any("scale" in names[id(p)] for p in rest["params"])


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("bad", [{"lr": 0.0}, {"lr": float("nan")}, {"weight_decay": -1.0}, {"weight_decay": float("inf")}])
def test_optimizers_refuse_what_makes_no_sense(name: str, bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=rf"{next(iter(bad))} must be finite and"):
        OPTIMIZERS[name](**bad)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_are_torch_s_with_the_groups_own_decay(name: str) -> None:
    network = nn.Linear(2, 2)
    optimizer = OPTIMIZERS[name](lr=0.5).build(parameter_groups(network, 0.25))  # type: ignore[call-arg]
    assert type(optimizer).__module__.startswith("torch.optim")
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.25, 0.0]
    assert {group["lr"] for group in optimizer.param_groups} == {0.5}


def test_auto_precision_is_plain_on_a_cpu() -> None:
    computing = Computing(Precision(), CPU)
    assert (computing.autocast, computing.memory_format, computing.compile) == (False, torch.contiguous_format, False)
    network = nn.Linear(2, 2)
    assert computing.compiled(network) is network
    asked = Computing(Precision(dtype="bfloat16", channels_last=True, compile=True), CPU)
    assert (asked.autocast, asked.memory_format, asked.compile) == (True, torch.channels_last, True)


def test_auto_on_a_gpu_compiles_what_is_trained_long_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    for steps, compiles in ((192, False), (10_000, True)):
        computing = Computing(Precision(), torch.device("cuda"), steps)
        assert (computing.autocast, computing.memory_format, computing.compile) == (True, torch.channels_last, compiles)
    assert Computing(Precision(compile=True), torch.device("cuda"), 1).compile
    assert not Computing(Precision(compile=False), torch.device("cuda"), 10**6).compile


COMPILED = pytest.param(
    "{compile: true}",
    marks=[
        pytest.mark.slow(minutes=1),  # compiling
        pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU"),
    ],
)


@pytest.mark.parametrize("precision", ["{channels_last: true}", COMPILED, "{dtype: bfloat16}", "{products: bfloat16}"])
def test_every_precision_trains_to_about_the_same(recipe: Make, precision: str) -> None:
    """Compiled code and other layouts sum in another order, bfloat16 rounds: losses agree, not to the bit."""
    net = "network={name: mlp, width: 16, depth: 1}" if "compile" in precision else "network.width=4"
    plain, other = Trainer(recipe(net)), Trainer(recipe(net, f"precision={precision}"))
    for _ in range(2):
        expected, got = plain.next_report(), other.next_report()
    tolerance = 0.05 if "bfloat16" in precision else 0.01
    assert got.metrics["train/loss"] == pytest.approx(expected.metrics["train/loss"], rel=tolerance)
    assert other.evaluate("test")["loss"] == pytest.approx(plain.evaluate("test")["loss"], rel=2 * tolerance)
    assert all(value.dtype != torch.bfloat16 for value in other.state_dict()["network"].values())
    # Compiled or not, a checkpoint is the same thing.
    again = Trainer(recipe(net))
    again.load_state_dict(other.state_dict())
    assert again.evaluate("test")["loss"] == pytest.approx(other.evaluate("test")["loss"], rel=tolerance)
