import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

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
        done = subprocess.run(
            self.command(*args), cwd=self.path, capture_output=True, text=True, timeout=240, env=self.env, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def json(self, *args: str) -> dict[str, Any]:
        result: dict[str, Any] = json.loads(self.run(*args, "--json").stdout)
        return result

    def start(self, *args: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*args), cwd=self.path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=self.env
        )

    @property
    def env(self) -> dict[str, str]:
        return {**os.environ, "PYTHONUNBUFFERED": "1", "COLUMNS": "200", **self.variables}


@pytest.fixture
def workplace(tmp_path: Path) -> Iterator[Workplace]:
    (tmp_path / "tiny.yaml").write_text(RECIPE, encoding="utf-8")
    (tmp_path / "tiny_space.yaml").write_text(SPACE, encoding="utf-8")
    yield Workplace(tmp_path)
