"""Numbers that are not finite end a training, though the sign of NaN is −1 and every loss looks sound."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rebnn_search.method import BinaryLinear, RSign
from rebnn_search.training import Diverged, Recipe, Trainer
from rebnn_search.training.finite import FiniteWatch

Make = Callable[..., Recipe]
PLAIN = "network={name: mlp, width: 8, norm: false}"


class Straight(nn.Module):
    """Without a shortcut: behind the first sign nothing of NaN is left."""

    def __init__(self, weights: str, norm: bool = False) -> None:
        super().__init__()
        self.stem = nn.Linear(64, 8)
        self.norm = nn.BatchNorm1d(8) if norm else nn.Identity()
        self.signs = nn.ModuleList(RSign(8) for _ in range(2))
        self.layers = nn.ModuleList(BinaryLinear(8, 8, weights=weights) for _ in range(2))
        self.classifier = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.stem(x.flatten(1)))
        for sign, layer in zip(self.signs, self.layers, strict=True):
            x = layer(sign(x))
        return self.classifier(x)


@pytest.fixture
def straight(recipe: Make, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Trainer]:
    """A trainer of such a network."""

    def make(*overrides: str, norm: bool = False) -> Trainer:
        monkeypatch.setattr(
            "rebnn_search.training.trainer.built_network", lambda recipe, *_: Straight(recipe.weights.name, norm)
        )
        return Trainer(recipe(PLAIN, *overrides))

    return make


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["stem.weight", "layers.1.weight", "signs.0.shift", "layers.0.binarizer.scale"])
def test_a_parameter_that_is_not_finite_is_named(straight: Callable[..., Trainer], name: str, value: float) -> None:
    trainer = straight()
    trainer.next_report()
    with torch.no_grad():
        trainer.network.get_parameter(name).view(-1)[0] = value
    with pytest.raises(Diverged, match=r"holds a number that is not finite after iteration 4|loss"):
        trainer.next_report()


def test_every_loss_looks_sound_behind_the_sign(straight: Callable[..., Trainer]) -> None:
    """What this is for: NaN in a latent weight, and weights without a scale that would hand it on."""
    trainer = straight("weights=sign")
    trainer.next_report()
    with torch.no_grad():
        trainer.network.get_parameter("layers.1.weight")[0, 0] = float("nan")
    assert np.isfinite(trainer.evaluate("validation")["loss"])
    with pytest.raises(Diverged, match=r"^layers\.1\.weight holds a number that is not finite after iteration 4$"):
        trainer.next_report()


@pytest.mark.parametrize("norm", [False, True])
def test_activations_that_are_not_finite_are_found_by_what_they_leave(straight: Callable[..., Trainer], norm: bool) -> None:
    trainer = straight("weights=sign", norm=norm)
    trainer.network.stem.register_forward_hook(lambda module, inputs, out: out / 0 * 0)  # type: ignore[union-attr]
    with pytest.raises(Diverged, match=r"holds a number that is not finite after iteration 2"):
        trainer.next_report()
    assert np.isfinite(trainer.evaluate("validation")["loss"])


def test_a_rate_that_is_too_high_ends_it(straight: Callable[..., Trainer]) -> None:
    trainer = straight("optimizer={name: sgd, lr: 1e30}", "epochs=20")
    with pytest.raises(Diverged):
        while not trainer.finished:
            trainer.next_report()


def test_a_mask_of_infinities_is_no_divergence() -> None:
    network = nn.Linear(2, 2)
    network.register_buffer("mask", torch.tensor([0.0, float("-inf")]))
    network.register_buffer("mean", torch.zeros(2))
    watch = FiniteWatch(network)
    assert watch.names == ["weight", "bias", "mean"]
    assert watch.flags(torch.device("cpu")).tolist() == [0, 0, 0]
    network.mean = torch.tensor([0.0, float("nan")])  # put in the old one's place
    assert watch.flags(torch.device("cpu")).tolist() == [0, 0, 1]


def test_in_stage_one_too(recipe: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("rebnn_search.training.trainer.built_network", lambda recipe, *_: Straight(recipe.weights.name))
    trainer = Trainer(recipe(PLAIN, "stage_one={epochs: 1, lr: 1e38}", "optimizer={name: sgd, lr: 0.1}"), workspace=tmp_path)
    with pytest.raises(Diverged, match=r"^in stage one, "):
        trainer.next_report()
