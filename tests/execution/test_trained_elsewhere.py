"""Recipes of a search trained by the training command, and taken up as its trials."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.commands import call

from rebnn_search.cli.recipes import main as write_recipes
from rebnn_search.cli.train import main as train
from rebnn_search.config import UserError
from rebnn_search.execution.trained_elsewhere import take_trained
from rebnn_search.execution.trial_recipe import write_trial_recipe
from rebnn_search.storage.begun import clear_leftover, has_begun
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.storage.locate import checkpoints_of
from rebnn_search.study.ledger import Ledger
from rebnn_search.study.load import load_search
from rebnn_search.training import CheckpointDirectory, Recipe, Trainer, TrainingRun, load_recipe, read_reports

RECIPE = """
data: {name: digits}
network: {name: mlp, width: 8, depth: 1}
epochs: 2
batch_size: 256
reports_per_epoch: 2
optimizer: {name: adam}
stage_one: {epochs: 1}
"""
SPACE = """
recipe: tiny.yaml
space:
  weights: {choice: [rebnn, reactnet, recu]}
  optimizer.lr: {log_uniform: [1e-3, 3e-2]}
fixed:
  - {weights: rebnn, optimizer.lr: 1e-2}
  - {weights: recu, optimizer.lr: 5e-3}
seeds: 2
trials: 6
sampler: random
pruner: none
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "tiny.yaml").write_text(RECIPE, encoding="utf-8")
    (tmp_path / "space.yaml").write_text(SPACE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def trained(number: int) -> None:
    assert train([f"r/{number:04d}.yaml", "--out", f"runs/{number:04d}", "--workspace", "runs"]) == 0


def test_a_recipe_for_each_given_trial(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert write_recipes(["space.yaml", "--out", "r", "--set", "epochs=3"]) == 0
    recipes = {path.name: load_recipe(path) for path in sorted((here / "r").iterdir())}
    assert list(recipes) == ["0000.yaml", "0001.yaml", "0002.yaml", "0003.yaml"]
    assert [(r.weights.name, r.optimizer["lr"], r.seed) for r in recipes.values()] == [
        ("rebnn", 1e-2, 0), ("rebnn", 1e-2, 1), ("recu", 5e-3, 0), ("recu", 5e-3, 1),
    ]  # fmt: skip
    assert {r.epochs for r in recipes.values()} == {3}
    assert "the other 2 trials are the sampler's to choose" in capsys.readouterr().out
    with pytest.raises(UserError, match=r"0000\.yaml is there already"):
        write_recipes(["space.yaml", "--out", "r"])
    without = SPACE[: SPACE.index("fixed:")] + SPACE[SPACE.index("seeds:") :]
    (here / "none.yaml").write_text(without, encoding="utf-8")
    with pytest.raises(UserError, match="gives no configuration under fixed"):
        write_recipes(["none.yaml", "--out", "other"])
    assert not (here / "other").exists()


def test_a_training_elsewhere_is_the_trial_s_own_to_the_bit(here: Path) -> None:
    write_recipes(["space.yaml", "--out", "r"])
    trained(1)
    trained(3)
    assert len(list((here / "runs" / "stage_one").iterdir())) == 1  # shared: both have seed 1
    search, folder = load_search("space.yaml"), SearchFolder(here / "results" / "s")
    assert take_trained(search, folder, here / "runs") == [1, 3]
    assert take_trained(search, folder, here / "runs") == []  # what is there is kept
    recipe = Recipe.model_validate(search.recipe_data(search.fixed[1], 3))
    run = TrainingRun(Trainer(recipe), checkpoints=checkpoints_of(folder, 3))
    assert run.finished
    there = read_reports(here / "runs" / "0003" / "reports.jsonl")
    assert [report.step for report in run.since(0)] == [1, 2, 3, 4]
    assert [dict(report.metrics) for report in run.since(0)] == [dict(report.metrics) for report in there]
    run.close()


def test_what_does_not_fit_is_refused_and_nothing_is_taken(here: Path) -> None:
    write_recipes(["space.yaml", "--out", "r"])
    trained(0)
    folder = SearchFolder(here / "results" / "s")
    with pytest.raises(UserError, match=r"0000/recipe.yaml: is not the recipe of the search's trial 0000: epochs$"):
        take_trained(load_search("space.yaml", ["epochs=5"]), folder, here / "runs")
    with pytest.raises(UserError, match="there is no such folder"):
        take_trained(load_search("space.yaml"), folder, here / "nowhere")
    with pytest.raises(UserError, match="the search measures bytes of each network"):
        take_trained(load_search("space.yaml", ["objectives=[val/loss, bytes]"]), folder, here / "runs")
    with pytest.raises(UserError, match="object store"):
        take_trained(load_search("space.yaml"), SearchFolder(folder.path, "s3://bucket/s"), here / "runs")
    assert not folder.path.exists()


@pytest.mark.slow(minutes=1)
def test_a_search_takes_them_up_and_trains_the_others(here: Path) -> None:
    write_recipes(["space.yaml", "--out", "r"])
    trained(2)
    before = json.loads((here / "runs" / "0002" / "reports.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    done = call("run", "space.yaml", "--name", "s", "--trained", "runs", "--json", cwd=here)
    assert done.returncode == 0, done.stderr
    rows = {row["number"]: row for row in json.loads(done.stdout)["trials"]}
    assert len(rows) == 6 and all(row["state"] == "COMPLETE" for row in rows.values())
    assert rows[2]["val_loss"] == before["metrics"]["val/loss"]
    log = (here / "results" / "s" / "trials" / "0002" / "reports.jsonl").read_text(encoding="utf-8").splitlines()
    speeds = [json.loads(line)["metrics"]["train/images_per_second"] for line in log]
    assert speeds[-1] == before["metrics"]["train/images_per_second"]  # reported, not trained again


def test_what_a_kill_cut_off_is_taken_up_by_the_next(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_recipes(["space.yaml", "--out", "r"])
    trained(1)
    search, folder = load_search("space.yaml"), SearchFolder(here / "results" / "s")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(CheckpointDirectory, "save", interrupted)
        take_trained(search, folder, here / "runs")
    assert folder.checkpoints(1).is_dir()
    assert take_trained(search, folder, here / "runs") == [1]
    assert take_trained(search, folder, here / "runs") == []


def interrupted(checkpoints: CheckpointDirectory, step: int, state: object) -> None:
    checkpoints.path.mkdir(parents=True)
    raise KeyboardInterrupt


def test_what_was_taken_up_waits_through_an_interruption(here: Path) -> None:
    """Until its trial is handed out: it is no trial that the record has lost, and the search has not begun by it."""
    write_recipes(["space.yaml", "--out", "r"])
    trained(1)
    trained(3)
    search, folder = load_search("space.yaml"), SearchFolder(here / "results" / "s")
    folder.path.mkdir(parents=True)
    ledger = Ledger(folder, search)
    folder.write_search("space.yaml", search.dump(), None, ledger.search_id)
    assert take_trained(search, folder, here / "runs") == [1, 3] and not has_begun(folder)
    clear_leftover(folder)  # for another search of its name, which is not to train on from these
    assert not folder.trials.exists() and not folder.journal.exists()
    ledger = Ledger(folder, search)
    folder.write_search("space.yaml", search.dump(), None, ledger.search_id)
    take_trained(search, folder, here / "runs")
    for _ in range(2):
        number, params = ledger.ask()
        write_trial_recipe(search, folder, number, params)
    again = Ledger(folder, search)  # as after a kill
    assert again.asked == 2 and has_begun(folder)
    assert sorted(path.name for path in folder.trials.iterdir()) == ["0000", "0001", "0003"]
    assert folder.checkpoints(3).exists()
    # One that was handed out, and that the record has lost since, is put aside as ever.
    write_trial_recipe(search, folder, 3, search.fixed[1])
    Ledger(folder, search)
    assert not folder.checkpoints(3).exists()
