"""A search of a user's own network and data, and every command that is printed after it: each is told what it may import."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.commands import call

PARTS = '''
import numpy as np
from torch import nn


def stripes(count: int = 120):
    """Horizontal or vertical stripes, in noise."""
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=count)
    wave = np.sin(np.arange(8) * 1.5)[None, :] * np.ones((8, 1))
    images = np.where(y[:, None, None] == 1, wave, wave.T) + rng.normal(size=(count, 8, 8))
    return images[:, None].astype("float32"), np.array(["horizontal", "vertical"])[y]


def small(in_channels, num_classes, width: int = 8):
    return nn.Sequential(
        nn.Conv2d(in_channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.Conv2d(width, width, 3, padding=1),
        nn.BatchNorm2d(width), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, num_classes),
    )
'''
SPACE = """
recipe: recipe.yaml
space: {optimizer.lr: {log_uniform: [1e-3, 1e-2]}}
trials: 2
resources: {cpus_per_worker: 1}
"""
NAMES = ["own_parts_of_a_search:small", "own_parts_of_a_search:stripes"]
ALLOW = [word for name in NAMES for word in ("--allow", name)]


def console(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The installed command, which has no working directory on its path."""
    script = Path(sys.executable).with_name("rebnn-search")
    env = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    return subprocess.run([script, *words], cwd=cwd, env=env, capture_output=True, text=True)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    (folder / "own_parts_of_a_search.py").write_text(PARTS, encoding="utf-8")
    network, data = NAMES
    (folder / "recipe.yaml").write_text(
        f"data: {{name: '{data}'}}\nnetwork: {{name: '{network}'}}\noptimizer: {{name: adam, lr: 3e-3}}\nepochs: 1\nbatch_size: 16\n"
    )
    (folder / "space.yaml").write_text(SPACE)
    done = console("run", "space.yaml", "--quiet", *ALLOW, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow(minutes=1.5)
def test_the_commands_that_go_on_with_it_work_as_printed(searched: Path) -> None:
    shown = console("show", "space-1", "--json", cwd=searched)
    assert shown.returncode == 0, shown.stderr
    commands = json.loads(shown.stdout)["commands"]
    for name in ("refit", "report"):
        words = shlex.split(commands[name])
        assert words[-4:] == ALLOW
        done = console(*words[1:], *(["--seeds", "1"] if name == "refit" else []), cwd=searched)
        assert done.returncode == 0, done.stderr
    page = (searched / "report-space-1" / "report.html").read_text(encoding="utf-8")
    export = f"rebnn-search export results/space-1 --format packed {' '.join(ALLOW)}"
    assert export in page and f"rebnn-search refit space-1 {' '.join(ALLOW)}" in page
    assert console(*shlex.split(export)[1:], "--out", "model", cwd=searched).returncode == 0
    np.save(searched / "images.npy", np.zeros((3, 1, 8, 8), dtype=np.float32))
    done = console("predict", "model", "images.npy", *ALLOW, cwd=searched)
    assert done.returncode == 0 and done.stdout.count("\t") == 6, done.stderr


@pytest.mark.slow(minutes=0.5)
def test_without_the_permission_each_says_how_it_is_given(searched: Path) -> None:
    for words in (("refit", "space-1"), ("export", "results/space-1", "--format", "packed", "--out", "unused")):
        done = call(words[0], *words[1:], cwd=searched)
        assert done.returncode == 2 and f"--allow {NAMES[0]} lets this one" in done.stderr.replace(NAMES[1], NAMES[0])
