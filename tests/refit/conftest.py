import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rebnn_search.refit import FinishedSearch, finished_search

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
  optimizer.lr: {log_uniform: [5e-3, 5e-2]}
  gamma.strategy: {choice: [flip_ratio, max_gradient]}
pruner: none
trials: 4000
"""


@dataclass
class Finished:
    """A directory with a search that a time budget ended, and the commands run in it as a user would."""

    path: Path
    name: str = "mine"

    def command(self, *args: str) -> list[str]:
        return [sys.executable, "-m", "rebnn_search.refit", self.name, "--tracking-uri", self.uri, *args]

    def run(self, *args: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.command(*args), cwd=self.path, capture_output=True, text=True, timeout=200, env=ENV, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def json(self, *args: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run(*args, "--json").stdout)
        return found

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.path}/mlflow.db"

    @property
    def refit(self) -> Path:
        return self.path / "results" / self.name / "refit"

    def search(self) -> FinishedSearch:
        return finished_search(str(self.path / "results"), self.name)


ENV = {**os.environ, "PYTHONUNBUFFERED": "1", "COLUMNS": "200"}


@pytest.fixture(scope="session")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The directory of a search that its time budget ended, and what it printed."""
    path = tmp_path_factory.mktemp("searched")
    (path / "tiny.yaml").write_text(RECIPE, encoding="utf-8")
    (path / "tiny_space.yaml").write_text(SPACE, encoding="utf-8")
    command = [sys.executable, "-m", "rebnn_search.run", "tiny_space.yaml", "--name", "mine", "--time-budget", "30s"]
    done = subprocess.run(command, cwd=path, capture_output=True, text=True, timeout=200, env=ENV, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return path, done.stdout


@pytest.fixture
def finished(searched: tuple[Path, str], tmp_path: Path) -> Finished:
    shutil.copytree(searched[0], tmp_path / "work", ignore=shutil.ignore_patterns("ray"))
    return Finished(tmp_path / "work")
