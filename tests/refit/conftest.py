import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.commands import call, start_ray
from support.once import Once

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

    def words(self, *args: str) -> list[str]:
        return [self.name, "--tracking-uri", self.uri, *args]

    def run(self, *args: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = call("refit", *self.words(*args), cwd=self.path)
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


@pytest.fixture(scope="session")
def searched(once: Once, one_ray: None, tracking_database: Path) -> Path:
    """The directory of a finished search; shared by all tests, to be copied."""

    def make(path: Path) -> None:
        write_files(path)
        shutil.copy(tracking_database, path)
        done = search(path)
        assert done.returncode == 0, done.stdout + done.stderr

    return once("searched_to_refit", make)


def write_files(path: Path) -> None:
    (path / "tiny.yaml").write_text(RECIPE, encoding="utf-8")
    (path / "tiny_space.yaml").write_text(SPACE, encoding="utf-8")


def search(path: Path, *args: str) -> subprocess.CompletedProcess[str]:
    start_ray()
    return call("run", "tiny_space.yaml", "--name", "mine", "--no-report", *args, cwd=path)


@pytest.fixture
def run_search(one_ray: None, tracking_database: Path) -> Any:
    """Runs the search command in a directory, which gets its files first."""

    def run(path: Path, *args: str) -> subprocess.CompletedProcess[str]:
        path.mkdir(exist_ok=True)
        write_files(path)
        if not (path / "mlflow.db").exists():
            shutil.copy(tracking_database, path)
        return search(path, *args)

    return run


@pytest.fixture
def finished(searched: Path, tmp_path: Path) -> Finished:
    shutil.copytree(searched, tmp_path / "work", ignore=shutil.ignore_patterns("ray"))
    return Finished(tmp_path / "work")
