"""A user's own networks and datasets, by import."""

import importlib
import os
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from rebnn_search.config import UserError, parse, validate
from rebnn_search.method.layers import binary_layers
from rebnn_search.training import Recipe, Trainer
from rebnn_search.training.custom_parts import ALLOWED, allow
from rebnn_search.training.stages import REAL

MODULE = """
import numpy as np
import torch
from torch import nn


def plain(in_channels, num_classes, width: int = 8):
    return nn.Sequential(
        nn.Conv2d(in_channels, width, 3), nn.Conv2d(width, width, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(width, num_classes),
    )


def binary(in_channels, num_classes):
    from rebnn_search.method import BinaryLinear
    return nn.Sequential(
        nn.Flatten(), nn.Linear(in_channels * 64, 16), BinaryLinear(16, 16, weights="rebnn"), nn.Linear(16, num_classes)
    )


def chooses(in_channels, num_classes, weights):
    from rebnn_search.method import BinaryLinear
    return nn.Sequential(
        nn.Flatten(), nn.Linear(in_channels * 64, 16), BinaryLinear(16, 16, weights="sign"), BinaryLinear(16, 16, weights=weights),
        nn.Linear(16, num_classes),
    )


def shallow(in_channels, num_classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(in_channels * 64, num_classes))


def samples(count: int = 120):
    y = np.arange(count) % 3
    return np.random.default_rng(0).normal(size=(count, 1, 8, 8)) + y[:, None, None, None], y


class Pairs(torch.utils.data.Dataset):
    def __len__(self):
        return 60

    def __getitem__(self, index):
        return torch.full((1, 8, 8), float(index % 2)), index % 2


def wrong():
    return 3


number = 3
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    name = f"parts_{os.urandom(4).hex()}"
    (tmp_path / f"{name}.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv(ALLOWED, "")
    return importlib.import_module(name)


def recipe(data: str, network: str) -> Recipe:
    text = f"data: {data}\nnetwork: {network}\nepochs: 1\nbatch_size: 12\noptimizer: {{name: adam, lr: 1e-2}}\nreports_per_epoch: 1"
    return validate(Recipe, parse(text, "recipe"))


def test_a_plain_network_becomes_binary_and_takes_its_arguments_as_options(module: ModuleType) -> None:
    network, data = allow(module.plain), allow(module.samples)
    made = recipe(f"{{name: {data!r}, count: 90, test: 0.1}}", f"{{name: {network!r}, width: 6}}")
    trainer = Trainer(made)
    assert [layer.weight.shape[0] for _, layer in binary_layers(trainer.network)] == [6]
    assert sum(trainer.data.size(split) for split in ("train", "validation", "test")) == 90
    assert trainer.data.size("test") == 9
    trainer.next_report()
    assert recipe(f"{{name: {data!r}, count: 90, test: 0.1}}", f"{{name: {network!r}, width: 6}}").dump() == made.dump()


def test_binary_layers_of_a_network_that_takes_no_weights_have_the_recipe_s(module: ModuleType) -> None:
    def kinds(made: Recipe) -> list[str]:
        return [type(layer.binarizer).__name__ for _, layer in binary_layers(made.build_network(made.data.build().open()))]

    network = f"{{name: '{allow(module.binary)}'}}"
    taken = [tuple(kinds(recipe("digits", f"{network}\nweights: {name}"))) for name in ("rebnn", "reactnet", "recu")]
    assert len(set(taken)) == 3, taken
    made = recipe("digits", network)
    assert tuple(kinds(made)) == taken[0]
    assert tuple(kinds(made.model_copy(update={"weights": REAL}))) not in taken, "stage one's"
    first, second = kinds(recipe("digits", f"{{name: '{allow(module.chooses)}'}}\nweights: reactnet"))
    assert first != second, "one that takes them is left as it is"


def test_a_torch_dataset_is_read(module: ModuleType) -> None:
    data = recipe(f"{{name: '{allow(module.Pairs)}'}}", "digits_resnet").data.build().open()
    assert data.classes == ["0", "1"] and data.image_size == 8


@pytest.mark.parametrize(
    ("data", "network", "message"),
    [
        ("{name: 'M:samples', cuont: 3}", "mlp", "cuont"),
        ("digits", "{name: 'M:plain', width: wide}", "width"),
        ("digits", "{name: 'os:system'}", r"--allow os:system"),
        ("{name: 'M:number'}", "mlp", "--allow"),
    ],
)
def test_what_a_recipe_says_of_them_is_checked(module: ModuleType, data: str, network: str, message: str) -> None:
    allow(module.samples), allow(module.plain)
    with pytest.raises(UserError, match=message):
        recipe(data.replace("M:", f"{module.__name__}:"), network.replace("M:", f"{module.__name__}:"))


def test_what_cannot_be_used_says_why(module: ModuleType) -> None:
    with pytest.raises(UserError, match="none of its layers can be made binary"):
        Trainer(recipe("digits", f"{{name: '{allow(module.shallow)}'}}"))
    with pytest.raises(UserError, match=r"must return \(X, y\)"):
        recipe(f"{{name: '{allow(module.wrong)}'}}", "mlp").data.build().open()
    with pytest.raises(UserError, match="nothing that can be called"):
        allow(f"{module.__name__}:number")
    with pytest.raises(UserError, match="cannot be imported"):
        allow("no_such_module_anywhere:make")
    with pytest.raises(UserError, match="top level"):
        allow(lambda: (np.zeros((4, 1)), torch.zeros(4)))
