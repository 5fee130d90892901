"""How a search begins and goes on: under its own name, with the values that were given, whatever its file looks like by then."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow import MlflowClient

from rebnn_search.config import UserError, part_first
from rebnn_search.execution.controller import Controller
from rebnn_search.execution.events import SearchObserver, TrialTracking
from rebnn_search.execution.opening import open_search
from rebnn_search.execution.serial import SerialExecutor
from rebnn_search.execution.session import Session
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.study.ledger import Ledger
from rebnn_search.study.load import load_search
from rebnn_search.study.stored import StoredRecord
from rebnn_search.training import load_recipe

RECIPE = """
data: {name: digits}
network: {name: mlp, width: 8, depth: 1}
optimizer: {name: adam, lr: 1e-2, weight_decay: 1e-4}
epochs: 1
batch_size: 512
"""
LR, NAME = "optimizer.lr: {log_uniform: [1e-4, 1e-1]}", "optimizer.name: {choice: [sgd, adam]}"


@pytest.fixture
def folder(tmp_path: Path, tracking_database: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "mlflow.db").write_bytes(tracking_database.read_bytes())
    (tmp_path / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder: Path, *space: str, name: str = "space.yaml", **more: Any) -> Path:
    lines = "\n".join(f"  {line}" for line in space)
    rest = yaml.safe_dump({"sampler": "random", "pruner": "none", "trials": 2, **more})
    (folder / name).write_text(f"recipe: recipe.yaml\nspace:\n{lines}\n{rest}", encoding="utf-8")
    return folder / name


def opened(file: Path, **options: Any) -> Session:
    given = {"name": "s", "tracking_uri": f"sqlite:///{file.parent}/mlflow.db", "executor": SerialExecutor, **options}
    return open_search(file, storage=str(file.parent / "results"), **given)


@pytest.mark.parametrize("space", [(LR, NAME), (NAME, LR)], ids=["options first", "part first"])
def test_an_option_that_varies_beside_its_part_holds_wherever_it_stands(folder: Path, space: tuple[str, str]) -> None:
    search = load_search(write(folder, *space))
    recipe = search.recipe({"optimizer.lr": 5e-4, "optimizer.name": "sgd"})
    assert recipe.optimizer.name == "sgd" and recipe.optimizer["lr"] == 5e-4
    # Where it is the recipe's own part, its other options stay.
    assert search.recipe({"optimizer.lr": 5e-4, "optimizer.name": "adam"}).optimizer["weight_decay"] == 1e-4


@pytest.mark.parametrize("words", [["optimizer.lr=0.05", "optimizer.name=sgd"], ["optimizer.name=sgd", "optimizer.lr=0.05"]])
def test_typed_values_hold_in_either_order(folder: Path, words: list[str]) -> None:
    assert load_recipe(folder / "recipe.yaml", words).optimizer["lr"] == 0.05
    file = write(
        folder,
        "batch_size: {choice: [256, 512]}",
        set={key: yaml.safe_load(value) for key, value in (word.split("=") for word in words)},
    )
    for base in (load_search(file).base, load_search(write(folder, "batch_size: {choice: [256]}"), words).base):
        assert base["optimizer"]["name"] == "sgd" and float(base["optimizer"]["lr"]) == 0.05


def test_what_chooses_a_part_comes_first() -> None:
    names = ["gamma.value", "network.name", "gamma", "data.augment.name", "gamma.strategy"]
    assert sorted(names, key=part_first) == ["network.name", "gamma", "gamma.strategy", "gamma.value", "data.augment.name"]


def test_a_file_in_another_order_and_under_another_name_goes_on_with_the_same_search(folder: Path) -> None:
    file = write(folder, NAME, LR)
    opened(file).run(SearchObserver())
    file.unlink()
    file = write(folder, LR, NAME, name="renamed.yaml")
    session = opened(file, resume=True, trials=3)
    assert list(session.search.space) == ["optimizer.name", "optimizer.lr"]
    session.run(SearchObserver())
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    named = {experiment.name: experiment.experiment_id for experiment in client.search_experiments()}
    assert "renamed" not in named
    assert len(client.search_runs([named["space"]])) == 4  # three trials and the search
    undisturbed = write(folder, NAME, LR, name="whole.yaml", trials=3)
    opened(undisturbed, name="w").run(SearchObserver())
    told = [
        [trial.params for trial in StoredRecord(SearchFolder(folder / "results" / name), session.search).trials]
        for name in "sw"
    ]
    assert told[0] == told[1]


def test_a_search_that_has_all_its_trials_is_told_at_once(folder: Path) -> None:
    file = write(folder, LR)
    first = opened(file).run(SearchObserver())

    def cluster() -> Any:
        pytest.fail("nothing is left to train")

    again = opened(file, resume=True, executor=cluster).run(SearchObserver())
    assert again.best == first.best and [row.number for row in again.rows] == [row.number for row in first.rows]
    assert len(opened(file, resume=True, trials=3).run(SearchObserver()).rows) == 3


def test_who_comes_second_to_a_name_leaves_the_first_one_s_search_alone(folder: Path) -> None:
    first, second = opened(write(folder, LR)), opened(write(folder, NAME, name="other.yaml"))
    assert not first.resumed and not second.resumed
    first.run(SearchObserver())
    before = (folder / "results" / "s" / "search.yaml").read_bytes()
    with pytest.raises(UserError, match="s: another search took this name meanwhile"):
        second.run(SearchObserver())
    assert (folder / "results" / "s" / "search.yaml").read_bytes() == before
    assert opened(folder / "space.yaml", resume=True).run(SearchObserver()).best is not None


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT], ids=errno.errorcode.get)
def test_a_full_disk_and_a_used_up_quota_end_the_search_and_no_trial(folder: Path, code: int) -> None:
    search = load_search(write(folder, LR))
    place = SearchFolder(folder / "s")
    place.path.mkdir()
    controller = Controller(search, place, Ledger(place, search), TrialTracking(), SearchObserver())
    controller.error(controller.next_task(), f"OSError: [Errno {code}] {os.strerror(code)}")
    assert controller.stopping and str(controller.abort_reason).startswith(f"{os.strerror(code)}; free some")
    assert [trial.state.name for trial in controller._ledger.trials] == ["RUNNING"]


def test_a_value_for_what_varies_is_refused(folder: Path) -> None:
    file = write(folder, LR)
    with pytest.raises(
        UserError, match=r"--set optimizer.lr=0.5: optimizer.lr varies in this search, so that this would count"
    ):
        opened(file, overrides=["optimizer.lr=0.5"])
    with pytest.raises(UserError, match=r"space.yaml: set.optimizer.lr: optimizer.lr varies"):
        opened(write(folder, LR, set={"optimizer.lr": 0.5}))
    # Whoever has a fixed configuration that leaves it out means that one.
    file = write(folder, LR, NAME, fixed=[{"optimizer.name": "sgd"}])
    assert opened(file, overrides=["optimizer.lr=0.05"]).search.fixed[0]["optimizer.lr"] == 0.05


def test_a_file_whose_name_cannot_name_a_search_is_told_how_to(folder: Path) -> None:
    file = write(folder, LR, name="my γ.yaml")
    with pytest.raises(UserError, match=r"my γ.yaml: no search can be named 'my γ-1' after this file: give it one with --name"):
        opened(file, name=None)
    assert opened(file).folder.name == "s"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("{name: image_folder, root: nowhere}", "data.root: {here}/nowhere: no such folder"),
        ("{name: csv, path: none.csv, label: y}", "data.path: {here}/none.csv: no such file"),
        ("{name: arrays, path: none.npz}", "data.path: {here}/none.npz: no such file"),
        ("{name: cifar10, root: nowhere}", "data.root: no sound CIFAR10 in {here}/nowhere"),
    ],
)
def test_data_that_are_not_there_are_told_of_before_ray_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: str, said: str
) -> None:
    network = "{name: mlp, width: 8}" if "path" in data else "resnet20"
    (tmp_path / "recipe.yaml").write_text(f"data: {data}\nnetwork: {network}\nepochs: 1\noptimizer: {{name: adam}}\n")
    (tmp_path / "s.yaml").write_text("recipe: recipe.yaml\nspace: {optimizer.lr: {log_uniform: [1e-3, 1e-2]}}\ntrials: 2\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("rebnn_search.execution.session._ray_is_given", lambda: False)
    monkeypatch.setattr(Session, "_executor", None)  # would be an error
    with pytest.raises(UserError) as raised:
        open_search("s.yaml").run(SearchObserver())
    assert said.format(here=tmp_path) in str(raised.value)
    assert not (tmp_path / "results").exists()
