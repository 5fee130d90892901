"""Every recipe that comes with the project is one, and the published ones are the published runs."""

from pathlib import Path

import pytest
import torch
import yaml

from rebnn_search.config import UserError
from rebnn_search.training import Trainer, dump_recipe, load_recipe
from rebnn_search.training.vision import torchvision_module

TRIALS = Path(__file__).parents[2] / "trials"
FILES = sorted(TRIALS.glob("*.yaml"))


def test_they_are_all_there() -> None:
    expected = ["cifar100_resnet18", "cifar10_resnet18", "cifar10_resnet20", "cifar10_table_3_7",
                "cifar10_table_3_7_subset", "digits", "imagenet_resnet18", "imagenet_resnet34", "own_folder"]  # fmt: skip
    assert [file.stem for file in FILES] == expected


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_recipe_is_valid_and_the_same_when_written_elsewhere(file: Path, tmp_path: Path) -> None:
    recipe = load_recipe(file)
    dump_recipe(tmp_path / "best.yaml", recipe, "The best of a search,\nin two lines.")
    assert load_recipe(tmp_path / "best.yaml") == recipe
    assert yaml.safe_load((tmp_path / "best.yaml").read_text()) == recipe.dump()
    assert file.read_text().startswith("# ")
    for option in ("root", "path"):
        if option in recipe.data.options:
            assert Path(recipe.data[option]).is_absolute()
            assert ".." not in Path(recipe.data[option]).parts


@pytest.mark.parametrize(("name", "depth"), [("imagenet_resnet18", 16), ("imagenet_resnet34", 32)])
def test_the_published_runs(name: str, depth: int) -> None:
    recipe = load_recipe(TRIALS / f"{name}.yaml")
    assert (recipe.epochs, recipe.batch_size, recipe.accumulate) == (256, 512, 1)
    optimizer = recipe.optimizer.build()
    assert (recipe.optimizer.name, optimizer.lr, optimizer.weight_decay) == ("adam", 1e-3, 0.0)
    assert recipe.stage_one is not None
    assert (recipe.stage_one.epochs, recipe.stage_one.lr, recipe.stage_one.weight_decay) == (256, 1e-3, 1e-5)
    factors = [recipe.schedule.build().factor(epoch, 256) for epoch in (0, 64, 128, 255)]
    assert factors == [1.0, 0.75, 0.5, 1 / 256]
    assert recipe.loss.teacher is not None
    assert (recipe.loss.teacher["arch"], recipe.loss.teacher["path"]) == ("resnet34", None)
    assert (recipe.loss.label_share, recipe.loss.label_smoothing) == (0.0, 0.0)
    assert (recipe.data["image_size"], recipe.data["augment"]["min_scale"], recipe.data["augment"]["lighting"]) == (
        224,
        0.08,
        0.1,
    )
    assert (recipe.weights.name, recipe.gamma.name) == ("rebnn", "flip_ratio")
    network = recipe.network.build(in_channels=3, num_classes=1000, image_size=224, weights="rebnn")
    binary = [layer for layer in network.modules() if type(layer).__name__ == "BinaryConv2d"]
    assert len(binary) == depth
    assert {tuple(layer.weight.shape[2:]) for layer in binary} == {(3, 3)}


@pytest.mark.parametrize("name", ["cifar10_resnet20", "imagenet_resnet18", "own_folder"])
def test_data_that_is_not_there_is_one_clear_message(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"^data\.root: .*{tmp_path}/nowhere"):
        Trainer(load_recipe(TRIALS / f"{name}.yaml", [f"data.root={tmp_path}/nowhere"]))


def test_the_own_folder_recipe_trains_on_a_folder(tmp_path: Path) -> None:
    from PIL import Image

    generator = torch.Generator().manual_seed(0)
    for name in ("dark", "light"):
        (tmp_path / "mine" / name).mkdir(parents=True)
        for index in range(20):
            grey = torch.randint(0, 100, (20, 24, 3), generator=generator) + (150 if name == "light" else 0)
            Image.fromarray(grey.to(torch.uint8).numpy()).save(tmp_path / "mine" / name / f"{index}.png")
    small = [
        "stage_one.epochs=1",
        "epochs=1",
        "batch_size=8",
        "reports_per_epoch=1",
        "data.image_size=16",
        "network.name=resnet20",
    ]
    recipe = load_recipe(TRIALS / "own_folder.yaml", [f"data.root={tmp_path}/mine", *small])
    trainer = Trainer(recipe, device="cpu", workspace=tmp_path / "work")
    report = trainer.next_report()
    assert trainer.data.classes == ["dark", "light"]
    assert report.metrics["val/top5"] == 100
    assert trainer.finished


def test_torchvision_has_the_teachers_that_a_recipe_may_name() -> None:
    from typing import get_args

    from rebnn_search.training.teachers import Architecture

    models = torchvision_module("models")
    for name in get_args(Architecture):
        assert models.get_model_weights(name).DEFAULT.url.startswith("https://")
