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
trials: 2
"""


@dataclass
class Finished:
    """A directory with a finished search, and the command run in it as a user would."""

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
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a finished search."""
    path = tmp_path_factory.mktemp("searched")
    write_files(path)
    done = search(path)
    assert done.returncode == 0, done.stdout + done.stderr
    return path


def write_files(path: Path) -> None:
    (path / "tiny.yaml").write_text(RECIPE, encoding="utf-8")
    (path / "tiny_space.yaml").write_text(SPACE, encoding="utf-8")


def search(path: Path, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rebnn_search.run", "tiny_space.yaml", "--name", "mine", *args]
    return subprocess.run(command, cwd=path, capture_output=True, text=True, timeout=280, env=ENV, check=False)


@pytest.fixture
def run_search() -> Any:
    """Runs the search command in a directory, which gets its files first."""

    def run(path: Path, *args: str) -> subprocess.CompletedProcess[str]:
        path.mkdir(exist_ok=True)
        write_files(path)
        return search(path, *args)

    return run


@pytest.fixture
def finished(searched: Path, tmp_path: Path) -> Finished:
    shutil.copytree(searched, tmp_path / "work", ignore=shutil.ignore_patterns("ray"))
    return Finished(tmp_path / "work")
