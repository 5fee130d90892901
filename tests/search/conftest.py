import importlib.util
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from support.commands import call, start_ray
from support.forked import Forked, forked
from support.once import Once

ALONE = ("--set", "resources={max_concurrent: 1}")
"""One trial at a time: then a search is the same each time, to the bit."""

RECIPE = """
data: {name: digits}
network: {name: digits_resnet, width: 4}
optimizer: {name: adam, lr: 1e-2}
epochs: 2
batch_size: 128
reports_per_epoch: 4
"""

SPACE = """
recipe: tiny.yaml
space:
  gamma.strategy: {choice: [flip_ratio, constant]}
  gamma.value: {choice: [0.0, 1e-4], when: {gamma.strategy: constant}}
  optimizer.lr: {log_uniform: [1e-4, 1e-1]}
fixed:
  - {gamma.strategy: constant, gamma.value: 0.0}
  - {gamma.strategy: flip_ratio}
sampler: {name: tpe, n_startup_trials: 3}
pruner: {name: median, n_startup_trials: 2, n_warmup_steps: 1}
resources: {max_concurrent: 1}
trials: 6
"""


@dataclass
class Workplace:
    """A directory with a tiny recipe and search file, and the command run in it as a user would."""

    path: Path
    variables: dict[str, str] = field(default_factory=dict)
    report: bool = False  # drawing takes as long as such a search

    def command(self, *args: str) -> list[str]:
        quick = [] if self.report else ["--no-report"]
        return [sys.executable, "-m", "rebnn_search.run", "tiny_space.yaml", *quick, *args]

    def run(self, *args: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """The command in this process, with its one Ray; of a mistake, which is found before Ray is needed, without."""
        if code == 0 and "--dry-run" not in args:
            start_ray()
        done = call("run", *self.command(*args)[3:], cwd=self.path, env=self.variables)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def run_apart(self, *args: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """The command in a process of its own, with a Ray of its own unless an address is given."""
        done = forked("run", *self.command(*args)[3:], cwd=self.path, env=self.env)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def run_as_a_user(self, *args: str, code: int = 0) -> str:
        """The command as it is typed: Python started anew. Returns what it prints."""
        done = subprocess.run(self.command(*args), cwd=self.path, capture_output=True, text=True, env=self.env, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def json(self, *args: str) -> dict[str, Any]:
        result: dict[str, Any] = json.loads(self.run(*args, "--json").stdout)
        return result

    def result(self) -> dict[str, Any]:
        """What the command said of the search of `uninterrupted`."""
        found: dict[str, Any] = json.loads((self.path / "whole.json").read_text(encoding="utf-8"))
        return found

    def start(self, *args: str) -> Forked:
        """The command in a process of its own, with a Ray of its own unless an address is given."""
        return Forked("run", *self.command(*args)[3:], cwd=self.path, env=self.env)

    def study(self, name: str) -> optuna.Study:
        journal = self.path / "results" / name / "study.journal"
        return optuna.load_study(study_name=None, storage=JournalStorage(JournalFileBackend(str(journal))))

    def sequence(self, name: str) -> list[tuple[Any, ...]]:
        """What must be the same, to the bit, of two searches with one trial at a time."""
        return [(t.number, t.state.name, t.params, t.value, t.intermediate_values) for t in self.study(name).trials]

    def agree(self, result: dict[str, Any]) -> list[Run]:
        """Check that JSON, journal and MLflow say the same of every trial, each point once; return MLflow's child runs."""
        trials = self.study(result["name"]).trials
        client = MlflowClient(result["tracking_uri"])
        experiment = client.get_experiment_by_name(result["experiment"])
        runs = client.search_runs([experiment.experiment_id], f"tags.`mlflow.parentRunId` = '{result['parent_run_id']}'")
        assert len(runs) == len(trials) == len(result["trials"])
        by_number = {int(run.data.tags["rebnn_search.trial"]): run for run in runs}
        for row, trial in zip(result["trials"], trials, strict=True):
            run = by_number[row["number"]]
            assert row["number"] == trial.number
            assert row["state"] == trial.state.name == run.data.tags["state"]
            assert run.info.status == {"COMPLETE": "FINISHED", "PRUNED": "KILLED", "FAIL": "FAILED"}[row["state"]]
            assert row["run_id"] == run.info.run_id
            assert row["params"] == trial.params
            assert {k: str(v) for k, v in trial.params.items()} == run.data.params
            points = client.get_metric_history(run.info.run_id, "val/loss")
            history = sorted((point.step, point.value) for point in points)
            assert history == sorted(trial.intermediate_values.items())
            if trial.state.name == "COMPLETE":
                assert row["val_loss"] == trial.value == history[-1][1] == run.data.metrics["final/val/loss"]
            if history:
                assert row["epochs"] == run.data.metrics["final/epochs"] == history[-1][0] / 4
        with sqlite3.connect(result["tracking_uri"].removeprefix("sqlite:///")) as database:
            twice = database.execute("select 1 from metrics group by run_uuid, key, step having count(*) > 1").fetchone()
        assert twice is None
        return list(runs)

    @property
    def env(self) -> dict[str, str]:
        return {**os.environ, "PYTHONUNBUFFERED": "1", "COLUMNS": "200", **self.variables}


def make_workplace(path: Path) -> Workplace:
    (path / "tiny.yaml").write_text(RECIPE, encoding="utf-8")
    (path / "tiny_space.yaml").write_text(SPACE, encoding="utf-8")
    return Workplace(path)


@pytest.fixture
def workplace(tmp_path: Path, one_ray: None, tracking_database: Path) -> Workplace:
    shutil.copy(tracking_database, tmp_path)
    return make_workplace(tmp_path)


@pytest.fixture(scope="session")
def uninterrupted(once: Once, one_ray: None, tracking_database: Path) -> Workplace:
    """Where the search ``whole`` was run with one trial at a time and nothing in its way.

    Shared by all tests: to be read alone.
    """

    def make(path: Path) -> None:
        shutil.copy(tracking_database, path)
        result = make_workplace(path).json(*ALONE, "--name", "whole")
        (path / "whole.json").write_text(json.dumps(result), encoding="utf-8")

    return Workplace(once("uninterrupted", make))


@pytest.fixture(scope="session")
def driven() -> Any:
    """The module beside this one: searches without Ray and training."""
    spec = importlib.util.spec_from_file_location("driven", Path(__file__).with_name("driven.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
