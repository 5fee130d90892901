import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from rebnn_search.config import parse, validate
from rebnn_search.export import ModelInfo, describe
from rebnn_search.method import NETWORKS
from rebnn_search.train import main
from rebnn_search.training import Recipe, Trainer

sys.path.insert(0, str(Path(__file__).parent))  # for model_lies
DIGITS = str(Path(__file__).parents[2] / "trials" / "digits.yaml")
FAMILIES = {"resnet20": ({}, 3, 8), "resnet18": ({"stem": "cifar"}, 3, 8), "digits_resnet": ({}, 1, 8), "mlp": ({}, 64, 1)}
"""Options, channels and image size by network."""

Made = tuple[nn.Module, ModelInfo]


@pytest.fixture(scope="session")
def made() -> Callable[[str, str], Made]:
    """Make a network of a family with a weight binarizer whose every number differs from its initial one."""

    def make(family: str, weights: str) -> Made:
        options, channels, size = FAMILIES[family]
        generator = torch.Generator().manual_seed(7)
        network = NETWORKS[family](in_channels=channels, num_classes=10, image_size=size, weights=weights, **options)
        with torch.no_grad():
            for name, tensor in network.state_dict(keep_vars=True).items():
                if tensor.is_floating_point():
                    change = torch.rand(tensor.shape, generator=generator) * 0.4
                    tensor.data += change if name.endswith(("var", "scale")) else change - 0.2
        for module in network.modules():
            if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
                module.momentum = 1.0
        with torch.no_grad():  # statistics as of a trained network, whose values neither vanish nor explode
            network.train()(torch.randn(64, channels, size, size, generator=generator))
        info = ModelInfo(
            recipe={"network": {"name": family, **options}}, classes=[f"class {i}" for i in range(10)], channels=channels,
            image_size=size, mean=[0.1 * (i % 5) for i in range(channels)], std=[0.7 + 0.1 * (i % 3) for i in range(channels)],
        )  # fmt: skip
        return network.eval(), info

    return make


@pytest.fixture(scope="session")
def images() -> Callable[[ModelInfo, int], torch.Tensor]:
    """Draw raw images that suit a model."""

    def draw(info: ModelInfo, count: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(count)
        return torch.randn(count, info.channels, info.image_size, info.image_size, generator=generator)

    return draw


@pytest.fixture(scope="session")
def trained() -> Trainer:
    """A trainer at the end of a short training."""
    text = "data: {name: digits}\nnetwork: {name: digits_resnet}\nepochs: 2\noptimizer: {name: adam, lr: 1e-2}\nbatch_size: 128"
    trainer = Trainer(validate(Recipe, parse(text, "recipe")), device="cpu")
    while not trainer.finished:
        trainer.next_report()
    trainer.network.eval()
    return trainer


@pytest.fixture(scope="session")
def info(trained: Trainer) -> ModelInfo:
    """What that training's network was trained as and on."""
    return describe(trained.recipe, trained.data)


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training by the command."""
    folder = tmp_path_factory.mktemp("trainings") / "run"
    tiny = ["epochs=2", "batch_size=128", "reports_per_epoch=1", "optimizer.lr=1e-2"]
    assert (
        main([DIGITS, *(word for change in tiny for word in ("--set", change)), "--device", "cpu", "--out", str(folder)]) == 0
    )
    return folder
