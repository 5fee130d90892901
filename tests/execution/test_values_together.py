"""Values that do not go together make a trial that fails, and no search that ends."""

import json
from pathlib import Path

import pytest
from support.commands import call

from rebnn_search.execution.controller import Controller
from rebnn_search.execution.events import SearchObserver, TrialTracking
from rebnn_search.execution.serial import SerialExecutor
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.study.attributes import REASON
from rebnn_search.study.ledger import Ledger
from rebnn_search.study.load import load_search
from rebnn_search.study.record import read_study

RECIPE = """
data: {name: digits}
network: {name: mlp, width: 8, depth: 1}
optimizer: {name: sgd, lr: 0.05, momentum: 0.9}
epochs: 1
batch_size: 64
"""
SPACE = """
recipe: recipe.yaml
space:
  optimizer.momentum: {choice: [0.9, 0.0]}
  optimizer.nesterov: {choice: [false, true]}
sampler: brute_force
trials: 4
resources: {cpus_per_worker: 1}
"""


@pytest.mark.slow(minutes=1)
def test_one_of_them_fails_and_the_search_is_shown_and_resumed(tmp_path: Path, one_ray: None) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    (tmp_path / "space.yaml").write_text(SPACE)
    done = call("run", "space.yaml", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    trials = json.loads(done.stdout)["trials"]
    failed = [trial for trial in trials if trial["state"] != "COMPLETE"]
    assert [trial["params"] for trial in failed] == [{"optimizer.momentum": 0.0, "optimizer.nesterov": True}]
    study = read_study(SearchFolder(tmp_path / "results" / "space-1"), None)
    assert study.trials[failed[0]["number"]].user_attrs[REASON] == "recipe: optimizer: nesterov needs a momentum above 0"
    shown = call("cli.show", "space-1", cwd=tmp_path)
    assert shown.returncode == 0 and "FAIL" in shown.stdout, shown.stderr
    more = call("run", "space.yaml", "--resume", "--name", "space-1", "--json", cwd=tmp_path)
    assert more.returncode == 0 and len(json.loads(more.stdout)["trials"]) == len(trials) == 4, more.stderr


class Watches(SearchObserver):
    def __init__(self) -> None:
        self.tried_again: list[str] = []

    def failed(self, number: int, reason: str, times: int) -> None:
        self.tried_again.append(reason)


def test_in_this_process_they_fail_in_the_same_words_and_are_not_tried_again(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    (tmp_path / "space.yaml").write_text(SPACE)
    search = load_search(tmp_path / "space.yaml")
    ledger, observer = Ledger(None, search), Watches()
    controller = Controller(search, SearchFolder(tmp_path / "s"), ledger, TrialTracking(), observer)
    with SerialExecutor() as executor:
        executor.run(controller)
    failed = [trial for trial in ledger.trials if trial.state.name == "FAIL"]
    assert [trial.user_attrs[REASON] for trial in failed] == ["recipe: optimizer: nesterov needs a momentum above 0"]
    assert observer.tried_again == []
