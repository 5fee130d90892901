"""Values that do not go together make a trial that fails, and no search that ends."""

import json
from pathlib import Path

import pytest
from support.commands import call

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


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("together")
    (folder / "recipe.yaml").write_text(RECIPE)
    (folder / "space.yaml").write_text(SPACE)
    return folder


def test_one_of_them_fails_and_the_others_are_trained(searched: Path) -> None:
    done = call("run", "space.yaml", "--json", cwd=searched)
    assert done.returncode == 0, done.stderr
    trials = json.loads(done.stdout)["trials"]
    failed = [trial for trial in trials if trial["state"] != "COMPLETE"]
    assert len(trials) == 4 and [trial["params"] for trial in failed] == [
        {"optimizer.momentum": 0.0, "optimizer.nesterov": True}
    ]


def test_it_is_shown_and_resumed(searched: Path) -> None:
    shown = call("cli.show", "space-1", cwd=searched)
    assert shown.returncode == 0 and "FAIL" in shown.stdout, shown.stderr
    more = call("run", "space.yaml", "--resume", "--name", "space-1", "--json", cwd=searched)
    assert more.returncode == 0, more.stderr
