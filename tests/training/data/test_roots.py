"""Where a recipe's data are, whichever process opens them."""

from pathlib import Path
from typing import Any

import pytest

from rebnn_search.config import parse, validate
from rebnn_search.training import Recipe, load_recipe
from rebnn_search.training.recipe import load_recipe_document

REST = "network: mlp\nepochs: 1\n"


@pytest.mark.parametrize("data", ["cifar10", "{name: cifar10}", "{name: cifar100, download: true}"])
def test_a_root_left_out_is_the_one_of_the_working_directory_in_every_process(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("files", "here", "elsewhere"):
        (tmp_path / name).mkdir()
    file = tmp_path / "files" / "recipe.yaml"
    file.write_text(f"data: {data}\n{REST}")
    monkeypatch.chdir(tmp_path / "here")
    dumped = load_recipe(file).dump()
    monkeypatch.chdir(tmp_path / "elsewhere")  # as a worker's
    dataset: Any = Recipe.model_validate(dumped).data.build()
    assert dataset.root == tmp_path / "here" / "data"


def test_other_datasets_get_no_root() -> None:
    assert validate(Recipe, parse(f"data: digits\n{REST}", "recipe")).dump()["data"] == {"name": "digits"}


def test_a_root_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    file = tmp_path / "recipe.yaml"
    file.write_text(f"data: {{name: image_folder, root: ~/pictures}}\n{REST}")
    assert load_recipe_document(file).data["data"]["root"] == str(tmp_path / "home" / "pictures")  # type: ignore[index]
    override = ["data.root=~/others"]
    assert load_recipe_document(file, override).data["data"]["root"] == str(tmp_path / "home" / "others")  # type: ignore[index]
