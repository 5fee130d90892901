"""The search files that come with the program: found by name from any directory, listed, copied to edit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.commands import call

from rebnn_search.base.packaged import RECIPES, SPACES, find_file, first_comment, packaged_files
from rebnn_search.cli import new
from rebnn_search.config import UserError
from rebnn_search.study.load import load_search
from rebnn_search.training import load_recipe

ROOT = Path(__file__).parents[2]


def test_every_file_of_the_top_level_is_known_by_its_name() -> None:
    for folder in (SPACES, RECIPES):
        assert packaged_files(folder) == {file.stem: file for file in sorted((ROOT / folder).glob("*.yaml"))}
        assert all(first_comment(file) for file in packaged_files(folder).values())


def test_a_name_means_the_packaged_file_and_a_path_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_file("gamma", SPACES) == ROOT / "search_spaces" / "gamma.yaml"
    for path in ("gamma.yaml", "search_spaces/gamma", "search_spaces/gamma.yaml"):
        assert find_file(path, SPACES) == Path(path)
    Path("gamma").write_text("", encoding="utf-8")
    assert find_file("gamma", SPACES) == Path("gamma"), "what a user has goes before what comes with the program"
    with pytest.raises(UserError, match=r"^gama: no such file, and no search file of this name comes .*did you mean 'gamma'\?"):
        find_file("gama", SPACES)


def test_run_by_name_from_anywhere(tmp_path: Path) -> None:
    done = call("run", "gamma", "--dry-run", "--set", "trials=9", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "gamma-1 would begin with:" in done.stdout
    assert (
        done.stdout == call("run", ROOT / "search_spaces" / "gamma.yaml", "--dry-run", "--set", "trials=9", cwd=tmp_path).stdout
    )
    assert not list(tmp_path.iterdir())
    assert "nonsense: no such file, and no search file" in call("run", "nonsense", cwd=tmp_path).stderr
    assert "nonsense: no such file, and no recipe" in call("train", "nonsense", cwd=tmp_path).stderr
    assert "gamma.yaml: no such file" in call("run", "gamma.yaml", cwd=tmp_path).stderr


def test_run_without_a_file_lists_them(tmp_path: Path) -> None:
    done = call("run", cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    listed = call("cli.spaces", cwd=tmp_path)
    assert listed.returncode == 0 and listed.stdout.startswith(done.stderr)
    for name in packaged_files(SPACES):
        assert f"  {name} " in done.stderr
    assert all(f"  {name} " in listed.stdout for name in packaged_files(RECIPES))
    found = json.loads(call("cli.spaces", "--json", cwd=tmp_path).stdout)
    assert [entry["name"] for entry in found[SPACES]] == list(packaged_files(SPACES))


@pytest.mark.parametrize("name", sorted(packaged_files(SPACES)))
def test_a_copy_is_the_same_search(tmp_path: Path, name: str) -> None:
    (tmp_path / "mine").mkdir()
    done = call("cli.new", "mine/own.yaml", "--from", name, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == ["own.recipe.yaml", "own.yaml"]
    copy, source = load_search(tmp_path / "mine" / "own.yaml").dump(), load_search(packaged_files(SPACES)[name]).dump()
    roots = [search["recipe"]["data"].pop("root", None) for search in (copy, source)]
    assert copy == source
    if roots[1] is not None:  # the data lie beside the copy, where the source's lie beside its folder
        ours, theirs = Path(roots[0]).relative_to(tmp_path / "mine"), Path(roots[1]).relative_to(ROOT)
        assert ours == theirs and ours.parts[0] == "data"


@pytest.mark.parametrize("name", ["[x] #2.yaml", r"back\\1.yaml", "two words.yaml"])
def test_a_copy_may_have_any_name(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert new.main([name]) == 0
    assert load_search(tmp_path / name).dump()["space"] == load_search(packaged_files(SPACES)["gamma"]).dump()["space"]


def test_a_copy_replaces_nothing(tmp_path: Path) -> None:
    assert call("cli.new", "own.yaml", cwd=tmp_path).returncode == 0
    assert "own.yaml: is there already" in call("cli.new", "own.yaml", cwd=tmp_path).stderr
    (tmp_path / "own.yaml").unlink()
    assert "own.recipe.yaml: is there already" in call("cli.new", "own.yaml", cwd=tmp_path).stderr
    assert not (tmp_path / "own.yaml").exists()
    for words, message in (
        (("own",), "own: the name of a search file ends in .yaml"),
        (("away/own.yaml",), "own.recipe.yaml: cannot be written"),
        (("new.yaml", "--from", "gama"), "gama: no search file of this name comes with the program"),
    ):
        done = call("cli.new", *words, cwd=tmp_path)
        assert done.returncode == 2 and message in done.stderr


def test_data_of_an_installed_recipe_are_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site-packages" / "rebnn_search"
    (package / "trials").mkdir(parents=True)
    file = package / "trials" / "cifar10_resnet20.yaml"
    file.write_bytes((ROOT / "trials" / file.name).read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("rebnn_search.base.packaged.PACKAGE", package)
    assert load_recipe(file).dump()["data"]["root"] == str(tmp_path / "data")
    monkeypatch.undo()
    assert load_recipe(file).dump()["data"]["root"] == str(package / "data"), "of any other, beside its folder"
