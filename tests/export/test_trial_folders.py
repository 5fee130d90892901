"""A trial's folder says itself what was trained in it: nothing of a study is needed to export it or to learn from it."""

import tarfile
from pathlib import Path
from typing import Any

import pytest
import torch

from rebnn_search.config import parse, validate
from rebnn_search.execution.controller import Controller
from rebnn_search.execution.events import SearchObserver, TrialTracking
from rebnn_search.execution.serial import SerialExecutor
from rebnn_search.export import find_trained
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.study.ledger import Ledger
from rebnn_search.study.load import load_search
from rebnn_search.study.search import Search
from rebnn_search.training import Recipe, Trainer

ASSET = Path(__file__).parents[1] / "assets" / "search_0_1_0.tar.xz"
RECIPE = """
data: {name: digits}
network: {name: mlp, width: 8, depth: 1}
optimizer: {name: adam, lr: 1e-2}
epochs: 1
batch_size: 256
"""
SPACE = """
recipe: recipe.yaml
space:
  network.width: {choice: [4, 8]}
  optimizer.lr: {log_uniform: [1e-3, 1e-2]}
sampler: random
pruner: none
trials: 2
"""


@pytest.fixture
def searched(tmp_path: Path) -> tuple[Search, SearchFolder, list[dict[str, Any]]]:
    """A search whose ledger is a database, trained to its end but not summed up; and its trials' parameters."""
    (tmp_path / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    (tmp_path / "space.yaml").write_text(SPACE, encoding="utf-8")
    search, folder = load_search(tmp_path / "space.yaml"), SearchFolder(tmp_path / "results" / "space-1")
    folder.path.mkdir(parents=True)
    ledger = Ledger(folder, search, f"sqlite:///{tmp_path / 'ledger.db'}")
    folder.write_search("space.yaml", search.dump(), None, ledger.search_id)
    with SerialExecutor(raises=True) as executor:
        executor.run(Controller(search, folder, ledger, TrialTracking(), SearchObserver()))
    return search, folder, [trial.user_attrs["params"] for trial in ledger.trials]


def test_a_search_with_its_ledger_in_a_database_is_exported(
    searched: tuple[Search, SearchFolder, list[dict[str, Any]]],
) -> None:
    search, folder, params = searched
    assert not folder.journal.exists() and not folder.result_file.exists()
    for number, values in enumerate(params):
        found = find_trained(str(folder.trial(number)))
        assert found.info.recipe == search.recipe(values).dump()
        assert found.folder == folder.trial(number)


def test_a_trial_teaches_without_the_study(searched: tuple[Search, SearchFolder, list[dict[str, Any]]]) -> None:
    _, folder, _ = searched
    folder.search_file.unlink()
    text = f"{RECIPE}loss: {{teacher: {{name: trained, path: {folder.trial(1)}}}}}\n"
    trainer = Trainer(validate(Recipe, parse(text, "recipe")), device="cpu")
    assert trainer.next_report().metrics["train/loss"] > 0


def test_a_trial_s_own_recipe_counts_whatever_stands_in_the_search(
    searched: tuple[Search, SearchFolder, list[dict[str, Any]]],
) -> None:
    search, folder, params = searched
    folder.journal.write_text('{"op_code": 4, "user_attrs": {"params": {"network.width": 99}}}\n' * 2, encoding="utf-8")
    folder.result_file.write_text("{", encoding="utf-8")
    assert find_trained(str(folder.trial(0))).info.recipe == search.recipe(params[0]).dump()


def test_a_trial_of_an_older_version_is_found_by_its_journal(tmp_path: Path) -> None:
    with tarfile.open(ASSET) as archive:
        archive.extractall(tmp_path)
    trial = tmp_path / "results" / "begun" / "trials" / "0000"
    assert not (trial / "recipe.yaml").exists()
    found = find_trained(str(trial))
    with torch.no_grad():
        assert found.network(torch.zeros(1, 1, 8, 8)).shape == (1, 10)
