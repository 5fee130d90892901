"""What a relative path is relative to: the file that has it, or, of what is typed, the working directory."""

from pathlib import Path

import pytest

from rebnn_search.storage.folder import SearchFolder
from rebnn_search.study.load import load_search
from rebnn_search.study.resume import resume_search
from rebnn_search.study.search import Search
from rebnn_search.training import load_recipe

RECIPE = """
data: {name: image_folder, root: pictures, image_size: 16}
network: {name: resnet20}
optimizer: {name: adam, lr: 1e-3}
epochs: 1
batch_size: 16
"""
SPACE = "recipe: ../recipes/recipe.yaml\nspace: {optimizer.lr: {log_uniform: [1e-3, 1e-2]}}\ntrials: 2\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("recipes", "spaces", "here"):
        (tmp_path / name).mkdir()
    (tmp_path / "recipes" / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    (tmp_path / "spaces" / "space.yaml").write_text(SPACE, encoding="utf-8")
    (tmp_path / "spaces" / "own.yaml").write_text(SPACE + "set: {data.root: others}\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def test_of_a_search(here: Path) -> None:
    for space, words, expected in (
        ("space", [], "recipes/pictures"), ("own", [], "spaces/others"), ("space", ["data.root=mine"], "here/mine"),
        ("own", ["data.root=mine"], "here/mine"), ("own", [f"data.root={here}"], ""),
    ):  # fmt: skip
        search = load_search(here / "spaces" / f"{space}.yaml", words)
        assert search.base["data"]["root"] == str(here / expected)


def test_of_a_training(here: Path) -> None:
    file = here / "recipes" / "recipe.yaml"
    assert load_recipe(file).data["root"] == str(here / "recipes" / "pictures")
    assert load_recipe(file, ["data.root=mine"]).data["root"] == str(here / "here" / "mine")


def test_of_a_root_left_out_before_it_was_filled_in(here: Path) -> None:
    (here / "recipes" / "recipe.yaml").write_text(
        RECIPE.replace("name: image_folder, root: pictures, image_size: 16", "name: cifar10")
    )
    search = load_search(here / "spaces" / "space.yaml")
    assert search.base["data"]["root"] == str(here / "here" / "data")
    folder = SearchFolder(here / "s")
    folder.path.mkdir()
    earlier = Search(search.spec, {**search.base, "data": {"name": "cifar10"}}, search.fixed)
    folder.write_search("space.yaml", earlier.dump())
    assert resume_search(folder, search, None).base == search.base
