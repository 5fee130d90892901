"""Options of a weight binarizer: in a recipe, a search, a training, and what is read of older ones that know names alone."""

import json
from pathlib import Path
from typing import Any

import pytest

from rebnn_search.config import UserError, parse, validate
from rebnn_search.method import binary_layers
from rebnn_search.method.weights import ReCU
from rebnn_search.report.strategies import label
from rebnn_search.study.load import load_search
from rebnn_search.study.search import Search, effective_value
from rebnn_search.training import Recipe, Trainer, load_recipe
from rebnn_search.training.checkpoint import CheckpointDirectory
from rebnn_search.training.custom_parts import ALLOWED, allow
from rebnn_search.training.data import Data
from rebnn_search.training.folder import TrainingFolder
from rebnn_search.training.recipe import dump_recipe
from rebnn_search.training.trained_teacher import TrainedTeacher

BASE: dict[str, Any] = {
    "data": "digits", "network": {"name": "mlp", "width": 8, "depth": 1}, "epochs": 2, "batch_size": 256, "reports_per_epoch": 1,
}  # fmt: skip
OPTIONS = {"name": "recu", "tau_start": 0.6, "tau_end": 0.75}


def recipe(weights: object, **more: object) -> Recipe:
    return Recipe.model_validate({**BASE, "weights": weights, **more})


@pytest.fixture(scope="module")
def digits() -> Data:
    return recipe("rebnn").data.build().open()


def trained(made: Recipe, digits: Data) -> tuple[Trainer, list[float]]:
    trainer = Trainer(made, device="cpu", data=digits)
    losses = []
    while not trainer.finished:
        losses.append(trainer.next_report().metrics["train/loss"])
    return trainer, losses


@pytest.mark.parametrize("weights", ["recu", {"name": "recu"}])
def test_a_binarizer_without_options_is_its_name_wherever_it_is_written(weights: object, tmp_path: Path) -> None:
    made = recipe(weights)
    assert made == recipe("recu")
    assert made.dump()["weights"] == "recu"
    assert json.loads(made.model_dump_json())["weights"] == "recu"
    dump_recipe(tmp_path / "recipe.yaml", made, "of a test")
    assert "\nweights: recu\n" in (tmp_path / "recipe.yaml").read_text(encoding="utf-8")
    assert load_recipe(tmp_path / "recipe.yaml").weights.name == "recu"


def test_options_are_kept_when_a_recipe_is_written_and_read(tmp_path: Path) -> None:
    made = recipe(OPTIONS)
    assert made.dump()["weights"] == OPTIONS
    dump_recipe(tmp_path / "recipe.yaml", made, "of a test")
    assert load_recipe(tmp_path / "recipe.yaml").dump() == made.dump()


def test_every_layer_has_the_options_and_training_follows_them(digits: Data) -> None:
    trainer, losses = trained(recipe(OPTIONS), digits)
    layers = binary_layers(trainer.network)
    assert layers
    for _, layer in layers:
        assert isinstance(layer.binarizer, ReCU)
        layer.binarizer.set_progress(0.0)
        assert float(layer.binarizer.tau) == pytest.approx(0.6)
        layer.binarizer.set_progress(1.0)
        assert float(layer.binarizer.tau) == pytest.approx(0.75)
    _, plain = trained(recipe("recu"), digits)
    _, defaults = trained(recipe({"name": "recu", "tau_start": 0.85, "tau_end": 0.99}), digits)
    assert defaults == plain
    assert losses != plain


def test_stage_one_is_shared_whatever_the_options(digits: Data) -> None:
    staged = {"stage_one": {"epochs": 1}}
    assert recipe(OPTIONS, **staged).stage_one_key() == recipe("rebnn", **staged).stage_one_key()
    trainer, _ = trained(recipe(OPTIONS, **staged), digits)
    assert all(isinstance(layer.binarizer, ReCU) for _, layer in binary_layers(trainer.network))


def test_a_user_s_network_has_them_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, digits: Data) -> None:
    (tmp_path / "networks_with_options.py").write_text(
        "from torch import nn\n"
        "from rebnn_search.method import BinaryLinear\n"
        "def converted(num_classes):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Linear(8, 8), nn.Linear(8, num_classes))\n"
        "def binary(num_classes, weights):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), BinaryLinear(8, 8, weights=weights), nn.Linear(8, num_classes))\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv(ALLOWED, "")
    for function in ("converted", "binary"):
        name = f"networks_with_options:{function}"
        allow(name)
        network = recipe(OPTIONS, network=name).build_network(digits)
        (found,) = [layer.binarizer for _, layer in binary_layers(network)]
        assert isinstance(found, ReCU)
        assert (found.tau_start, found.tau_end) == (0.6, 0.75)


def test_a_teacher_trained_with_options_is_read(tmp_path: Path, digits: Data) -> None:
    trainer, _ = trained(recipe(OPTIONS), digits)
    folder = TrainingFolder(tmp_path)
    folder.write_recipe(trainer.recipe, "of a test")
    CheckpointDirectory(folder.checkpoint_path).save(2, {"trainer": trainer.state_dict()})
    teacher = TrainedTeacher(path=str(tmp_path)).open(digits)
    (found,) = [layer.binarizer for _, layer in binary_layers(teacher)]
    assert isinstance(found, ReCU)
    assert found.tau_end == 0.75


KNOWN = "valid are biper, irnet, reactnet, rebnn, recu, reste, sign"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("weights: rcu", f"f.yaml:4: weights = 'rcu': no such weight binarizer; {KNOWN}"),
        ("weights: real", f"f.yaml:4: weights = 'real': no such weight binarizer; {KNOWN}"),
        ("weights: {name: rcu}", f"f.yaml:4: weights.name = 'rcu': no such weight binarizer; did you mean 'recu'? {KNOWN}"),
        (
            "weights: {tau_end: 0.9}",
            "f.yaml:4: weights: needs the key 'name': one of biper, irnet, reactnet, rebnn, recu, reste, sign",
        ),
        ("weights: 3", "f.yaml:4: weights = 3: expected the name of a weight binarizer or a mapping with the key 'name'"),
        (
            "weights:\n  name: recu\n  tau_begin: 0.9",
            "f.yaml:6: weights.tau_begin = 0.9: unknown key; did you mean 'tau_end'? allowed here: tau_start, tau_end",
        ),
        ("weights: {name: rebnn, tau_end: 0.9}", "f.yaml:4: weights.tau_end = 0.9: unknown key; allowed here: nothing"),
        ("weights: {name: recu, tau_end: 1}", "f.yaml:4: weights: tau_end must be above 0.5 and below 1, not 1.0"),
        ("weights: {name: recu, tau_start: .nan}", "f.yaml:4: weights: tau_start must be above 0.5 and below 1, not nan"),
        ("weights: {name: recu, tau_end: high}", "f.yaml:4: weights.tau_end = 'high': input should be a valid number"),
        ("weights: {name: recu, weight: 1}", "f.yaml:4: weights.weight = 1: unknown key; allowed here: tau_start, tau_end"),
    ],
)
def test_a_mistake_is_one_message(text: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        validate(Recipe, parse(f"data: digits\nnetwork: mlp\nepochs: 1\n{text}", "f.yaml"))
    assert str(caught.value) == message


def search(folder: Path, weights: str, space: str) -> Search:
    (folder / "recipe.yaml").write_text(f"data: digits\nnetwork: mlp\nepochs: 1\n{weights}", encoding="utf-8")
    (folder / "space.yaml").write_text(f"recipe: recipe.yaml\ntrials: 4\n{space}", encoding="utf-8")
    return load_search(folder / "space.yaml")


def test_a_search_varies_an_option(tmp_path: Path) -> None:
    found = search(
        tmp_path,
        "weights: {name: recu}",
        "space:\n  weights.tau_start: {uniform: [0.6, 0.9]}\nfixed: [{}, {weights.tau_start: 0.7}]",
    )
    assert [params["weights.tau_start"] for params in found.fixed] == [0.85, 0.7]  # the first: the constructor's default
    assert found.recipe({"weights.tau_start": 0.8}).dump()["weights"] == {"name": "recu", "tau_start": 0.8}


def test_a_search_varies_binarizers_and_an_option_of_one(tmp_path: Path) -> None:
    space = (
        "space:\n  weights.name: {choice: [rebnn, recu]}\n  weights.tau_end: {uniform: [0.9, 0.99], when: {weights.name: recu}}\n"
        "fixed: [{}, {weights.name: recu, weights.tau_end: 0.95}]"
    )
    found = search(tmp_path, "weights: rebnn", space)
    assert found.fixed == [{"weights.name": "rebnn"}, {"weights.name": "recu", "weights.tau_end": 0.95}]
    assert [found.recipe(params).dump()["weights"] for params in found.fixed] == ["rebnn", {"name": "recu", "tau_end": 0.95}]


def test_a_search_varies_names_alone_as_before(tmp_path: Path) -> None:
    found = search(tmp_path, "weights: sign", "space:\n  weights: {choice: [rebnn, sign]}\nfixed: [{}]")
    assert found.fixed == [{"weights": "sign"}]


def test_a_search_s_mistake_in_an_option_is_told_before_it_begins(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"space.yaml:4: weights.tau_end = 1.0 makes no valid recipe") as caught:
        search(tmp_path, "weights: {name: recu}", "space:\n  weights.tau_end: {uniform: [0.9, 1.0]}")
    assert "weights: tau_end must be above 0.5 and below 1, not 1.0" in str(caught.value)


def test_a_report_names_the_binarizer_whatever_its_options() -> None:
    for weights in ("recu", OPTIONS):
        made = recipe(weights)
        assert label(effective_value(made, "weights.name"), None, None) == "ReCU"
        assert effective_value(made, "gamma.strategy") is None
        assert effective_value(made, "weights") == weights
