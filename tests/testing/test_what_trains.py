"""Every optimizer, schedule and teacher keeps to what its kind asks; a new one is asked for by being registered."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from rebnn_search import testing
from rebnn_search.method import NETWORKS
from rebnn_search.testing.optimizer import goes_on_from_its_state, steps_each_parameter_once
from rebnn_search.testing.teacher import gives_a_logit_for_each_class
from rebnn_search.training import CheckpointDirectory, Recipe, Trainer, dump_recipe
from rebnn_search.training.data import Data, Digits
from rebnn_search.training.ensemble_teacher import write_ensemble
from rebnn_search.training.optimizers import OPTIMIZERS, Adam
from rebnn_search.training.schedules import SCHEDULES, Schedule
from rebnn_search.training.stages import REAL
from rebnn_search.training.teachers import TEACHERS, Teacher
from rebnn_search.training.vision import torchvision_module


def named(check: Any) -> str:
    return str(check.__name__)


@pytest.mark.parametrize("check", testing.OPTIMIZER_CHECKS, ids=named)
@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_optimizer(name: str, check: Callable[..., None]) -> None:
    check(OPTIMIZERS[name])


@pytest.mark.parametrize("check", testing.SCHEDULE_CHECKS, ids=named)
@pytest.mark.parametrize("options", [{}, {"warmup_epochs": 3}], ids=["plain", "warmup"])
@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_schedule(name: str, options: dict[str, Any], check: Callable[..., None]) -> None:
    check(lambda: SCHEDULES[name](**options))


@pytest.fixture(scope="session")
def student() -> Recipe:
    """Of a network that is made at once."""
    return Recipe.model_validate({"data": "digits", "network": {"name": "mlp", "width": 8}, "epochs": 1, "batch_size": 256})


def torchvision(folder: Path, student: Recipe, data: Data) -> dict[str, Any]:
    network = torchvision_module("models").resnet18(num_classes=data.num_classes)
    network.conv1 = nn.Conv2d(data.channels, 64, 3, 1, 1, bias=False)
    torch.save(network.state_dict(), folder / "teacher.pt")
    return {"arch": "resnet18", "stem": "cifar", "path": str(folder / "teacher.pt")}


def trained(folder: Path, student: Recipe, data: Data) -> dict[str, Any]:
    trainer = Trainer(student, device="cpu", data=data)
    CheckpointDirectory(folder / "checkpoints").save(0, {"trainer": trainer.state_dict()})
    dump_recipe(folder / "recipe.yaml", student, "A teacher.")
    return {"path": str(folder)}


def ensemble(folder: Path, student: Recipe, data: Data) -> dict[str, Any]:
    networks = [student.model_copy(update={"weights": REAL}).build_network(data) for _ in range(2)]
    write_ensemble(folder, student, networks)
    return {"path": str(folder)}


MAKERS: dict[str, Callable[[Path, Recipe, Data], dict[str, Any]]] = {
    make.__name__: make for make in (ensemble, torchvision, trained)
}
"""What leaves a small one of each in a folder, and returns its options."""


@pytest.mark.parametrize("check", testing.TEACHER_CHECKS, ids=named)
@pytest.mark.parametrize("name", sorted(TEACHERS))
def test_teacher(name: str, check: Callable[..., None], student: Recipe, tmp_path: Path) -> None:
    assert name in MAKERS, "make a small one here"
    data = Digits().open()
    options = MAKERS[name](tmp_path, student, data)
    check(lambda: (TEACHERS[name](**options), data))


class Forgets(Adam):
    """An optimizer that steps the weights alone, and begins anew after a resume."""

    def build(self, groups: list[dict[str, object]]) -> torch.optim.Optimizer:
        optimizer = super().build(groups[:1])
        optimizer.register_load_state_dict_post_hook(lambda loaded: loaded.state.clear())
        return optimizer


@pytest.mark.parametrize("check", [steps_each_parameter_once, goes_on_from_its_state])
def test_an_optimizer_that_falls_short_is_told(check: Callable[..., None]) -> None:
    with pytest.raises(AssertionError):
        check(Forgets)


class Restless(Schedule):
    """A schedule that counts how often it is asked, and ends below 0."""

    asked = 0

    def shape(self, done: float) -> float:
        self.asked += 1
        return 1 - self.asked


@pytest.mark.parametrize("check", testing.SCHEDULE_CHECKS, ids=named)
def test_a_schedule_that_falls_short_is_told(check: Callable[..., None]) -> None:
    with pytest.raises(AssertionError):
        check(Restless)


class Learns(Teacher):
    """A teacher that is another network each time, and still in training."""

    def build(self, data: Data) -> nn.Module:
        return NETWORKS["mlp"](in_channels=data.channels, num_classes=data.num_classes, image_size=data.image_size)

    def open(self, data: Data) -> nn.Module:
        return self.build(data)


@pytest.mark.parametrize("check", [c for c in testing.TEACHER_CHECKS if c is not gives_a_logit_for_each_class], ids=named)
def test_a_teacher_that_falls_short_is_told(check: Callable[..., None]) -> None:
    with pytest.raises(AssertionError):
        check(lambda: (Learns(), Digits().open()))
