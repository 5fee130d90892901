"""What `export` reads of a training's or a search's folder may lie too: each is one error that names the file."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from model_lies import NESTED_DEEP, bounded

from rebnn_search.config import UserError, exit_on_user_error
from rebnn_search.export import find_trained
from rebnn_search.export.__main__ import main
from rebnn_search.method import NETWORKS
from rebnn_search.training.checkpoint import MAGIC, CheckpointDirectory, read_checkpoint
from rebnn_search.training.trainer import STATE_VERSION

RECIPE = {"data": {"name": "arrays", "path": ""}, "network": {"name": "mlp", "width": 4, "depth": 1}, "epochs": 1}


@pytest.fixture(scope="module")
def arrays(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "rows.npz"
    np.savez(path, X=np.random.default_rng(0).standard_normal((30, 3)), y=np.arange(30) % 3)
    return path


@pytest.fixture
def folder(arrays: Path, tmp_path: Path) -> Path:
    """A training's folder of one checkpoint."""
    write_recipe(tmp_path, arrays)
    CheckpointDirectory(tmp_path / "checkpoints").save(1, state())
    return tmp_path


def write_recipe(folder: Path, arrays: Path, **changes: Any) -> None:
    recipe = {**RECIPE, "data": {"name": "arrays", "path": str(arrays)}, **changes}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")


def state() -> dict[str, Any]:
    network = NETWORKS["mlp"](in_channels=3, num_classes=3, image_size=1, weights="rebnn", width=4, depth=1)
    return {"trainer": {"version": STATE_VERSION, "network": network.state_dict()}}


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path("ran").touch, ())


def _tensors(change: Callable[[dict[str, Any]], Any]) -> Any:
    content = state()
    change(content["trainer"]["network"])
    return content


def _trainer(**changes: Any) -> Any:
    return {"trainer": {**state()["trainer"], **changes}}


NAME = "stem.0.weight"
CHECKPOINTS: dict[str, tuple[Callable[[], Any], str]] = {
    "a pickle inside": (lambda: {**state(), "more": Evil()}, r"is damaged, or holds more than plain tensors \(UnpicklingError\)"),
    "a pickle alone": (Evil, "is damaged, or holds more than plain tensors"),
    "a list": (lambda: [1, 2], "holds a list, no state of a training"),
    "no trainer": (dict, "is no checkpoint of a trial"),
    "a trainer that is none": (lambda: {"trainer": [1]}, "is no checkpoint of a trial"),
    "another version": (lambda: _trainer(version="1"), "is no checkpoint of a trial, or one of another version"),
    "no network": (lambda: {"trainer": {"version": STATE_VERSION}}, "it holds no network"),
    "a network of numbers": (lambda: _trainer(network={"a": 1}), "it holds no network"),
    "a network that is a list": (lambda: _trainer(network=[torch.zeros(1)]), "it holds no network"),
    "names that are none": (lambda: _trainer(network={1: torch.zeros(1)}), "it holds no network"),
    "weights of nan": (lambda: _tensors(lambda t: t[NAME].fill_(torch.nan)), f"'{NAME}' holds values that are no finite numbers"),
    "short weights": (lambda: _tensors(lambda t: t.update({NAME: t[NAME][:-1].clone()})), "is of another recipe"),
    "weights missing": (lambda: _tensors(lambda t: t.pop(NAME)), "is of another recipe"),
    "more weights": (lambda: _tensors(lambda t: t.update(more=torch.zeros(1))), "is of another recipe"),
    "repeated weights": (lambda: _tensors(lambda t: t.update({NAME: torch.zeros(1).expand(2**20, 2**20)})), "it holds no network"),
    "sparse weights": (lambda: _tensors(lambda t: t.update({NAME: t[NAME].to_sparse()})), "it holds no network"),
    "meta weights": (lambda: _tensors(lambda t: t.update({NAME: t[NAME].to("meta")})), "it holds no network"),
}  # fmt: skip


def refused(source: Path, message: str, names: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Export ends with one error that names a file and says what is wrong, in bounded memory."""
    with bounded(), pytest.raises(UserError, match=message) as caught:
        find_trained(str(source))
    assert names in str(caught.value)
    capsys.readouterr()
    with pytest.raises(SystemExit) as left:
        exit_on_user_error(lambda: main([str(source), "--format", "packed"]))
    said = capsys.readouterr()
    assert (left.value.code, said.out) == (2, "")
    assert said.err.startswith("error: ") and len(said.err) < 2000
    assert all(line.isprintable() for line in said.err.splitlines())


def test_without_a_lie_it_is_exported(folder: Path) -> None:
    assert find_trained(str(folder)).info.channels == 3


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_checkpoint_that_lies(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    content, message = CHECKPOINTS[name]
    file = save(folder, 2, content())
    refused(file, message, str(file), capsys)
    assert not (folder / "ran").exists()


def save(folder: Path, step: int, content: Any) -> Path:
    """A checkpoint of anything, its checksum right."""
    directory = CheckpointDirectory(folder / "checkpoints")
    if isinstance(content, dict):
        return directory.save(step, content)
    buffer = io.BytesIO()
    torch.save(content, buffer)
    body = buffer.getvalue()
    file = folder / "checkpoints" / f"{step:08d}.pt"
    file.write_bytes(MAGIC + hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
    return file


def test_training_takes_no_pickle_and_leaves_it_where_it_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    file = save(folder, 2, {"trainer": Evil()})
    with pytest.raises(ValueError, match=f"{file} is damaged, or holds more than plain tensors"):
        read_checkpoint(file)
    for read in (lambda: CheckpointDirectory(folder / "checkpoints").latest(), lambda: find_trained(str(folder))):
        with pytest.raises(UserError, match=rf"{file.name} is damaged, or holds more than plain tensors.*its checksum matches"):
            read()
    assert file.exists() and not (folder / "ran").exists()


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ({"name": "mlp", "width": 10**8}, "is of another recipe"),
        ({"name": "mlp", "width": 10**30}, "network mlp: cannot be built so large"),
        ({"name": "mlp", "width": 4, "depth": 10**9}, "depth within 1 and 1000, not 4 and 1000000000"),
        ({"name": "resnet34"}, "does not fit the network of its recipe, resnet34|is of another recipe"),
        ({"name": "mlp", "width": 0}, "width must be at least 1 and depth within 1 and 1000"),
        ({"name": "mlp", "width": "4"}, "network.width = '4'"),
        ([1], "network"),
    ],
)
def test_a_recipe_that_lies(network: Any, message: str, folder: Path, arrays: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_recipe(folder, arrays, network=network)
    refused(folder, message, str(folder), capsys)


@pytest.fixture
def search(folder: Path, arrays: Path) -> Path:
    """The folder of a search that is to be believed: one trial, unfinished."""
    path = folder / "search"
    (path / "trials").mkdir(parents=True)
    trial = path / "trials" / "0000"
    trial.mkdir()
    shutil.move(folder / "checkpoints", trial / "checkpoints")
    recipe = {**RECIPE, "data": {"name": "arrays", "path": str(arrays)}}
    content = {"source": "s.yaml", "search": {"recipe": recipe, "space": {"network.depth": {"choice": [1]}}}}
    (path / "search.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    line = {"op_code": 4, "user_attrs": {"params": {"network.depth": 1}}}
    (path / "study.journal").write_text(json.dumps(line) + "\n", encoding="utf-8")
    return path


def test_a_search_without_a_lie(search: Path) -> None:
    assert find_trained(str(search / "trials" / "0000")).info.channels == 3
    line = {"op_code": 8, "trial_id": 0, "user_attr": {"params": {"network.depth": 1}}}  # as before
    (search / "study.journal").write_text(json.dumps(line) + "\n", encoding="utf-8")
    assert find_trained(str(search / "trials" / "0000")).info.channels == 3


@pytest.mark.parametrize(
    "text",
    ["", "[1]", "search: 3", "search: {recipe: [], space: {}}", "search: {recipe: {}, space: [1]}", "search: {recipe: {}}",
     "search: {recipe: {network: {name: mlp}}, space: 3}", "a: [", '"\\e[2J": 1'],
)  # fmt: skip
def test_a_search_file_that_lies(text: str, search: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (search / "search.yaml").write_text(text, encoding="utf-8")
    refused(
        search / "trials" / "0000",
        "is no resolved search|not valid YAML|must be a mapping",
        str(search / "search.yaml"),
        capsys,
    )


@pytest.mark.parametrize(
    "line",
    ["", "{", "[1]", "7", "null", '{"trial_id": 0}', '{"trial_id": 0, "user_attr": 5}', "[" * 100_000, "\x00\xff",
     '{"trial_id": 0, "user_attr": {"params": 5}}', '{"trial_id": 0, "user_attr": {"params": [1]}}',
     '{"trial_id": [0], "user_attr": {"params": {}}}', '{"op_code": 4}', '{"op_code": 4, "user_attrs": [1]}',
     '{"op_code": 4, "user_attrs": {"params": 1}}'],
)  # fmt: skip
def test_a_journal_that_lies(line: str, search: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (search / "study.journal").write_bytes(line.encode("latin-1") + b"\n")
    refused(search / "trials" / "0000", "nothing here says what was trained in trial #0", str(search), capsys)


@pytest.mark.parametrize(
    "params", [{"network.depth": "\x1b[2J"}, {"network.depth": None}, {"network.depth": 10**12}, {"network.depth": [1]}]
)
def test_parameters_that_lie(params: Any, search: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = {"trial_id": 0, "user_attr": {"params": params}}
    (search / "study.journal").write_text(json.dumps(line), encoding="utf-8")
    refused(search / "trials" / "0000", "network", str(search), capsys)


@pytest.mark.parametrize(
    "result",
    ["{", "[1]", "7", "null", '{"trials": 3}', '{"trials": [3]}', '{"trials": [{"number": "0", "params": {}}]}', '{"best": 3}',
     '{"trials": [{"number": 0, "params": []}]}', '{"best": {"number": "0"}}', '{"best": {"number": -1}}', '{"best": {}}',
     json.dumps({"best": NESTED_DEEP}), "[" * 100_000, "\x00"],
)  # fmt: skip
def test_a_result_that_lies(result: str, search: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (search / "result.json").write_text(result, encoding="utf-8")
    for source in (search, search / "trials" / "0000"):
        refused(source, "result.json", str(search / "result.json"), capsys)
