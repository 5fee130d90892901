import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from support.commands import call, start_ray
from support.made_search import MadeSearch
from support.once import Once

from rebnn_search.report import TrackedSearch, write_report
from rebnn_search.tracking import check_uri

RECIPE = """
data: {name: digits}
network: {name: digits_resnet, width: 4}
optimizer: {name: adam, lr: 1e-2}
epochs: 4
batch_size: 128
reports_per_epoch: 2
"""
SPACE = """
recipe: tiny.yaml
space:
  weights: {choice: [rebnn, reactnet, recu]}
  gamma.strategy: {choice: [flip_ratio, constant], when: {weights: rebnn}}
  gamma.value: {choice: [0.0, 1e-2], when: {gamma.strategy: constant}}
  optimizer.lr: {log_uniform: [1e-3, 3e-2]}
fixed:
  - {weights: rebnn, gamma.strategy: constant, gamma.value: 0.0}
  - {weights: rebnn, gamma.strategy: flip_ratio}
  - {weights: reactnet}
  - {weights: recu}
sampler: {name: random}
pruner: {name: median, n_startup_trials: 8, n_warmup_steps: 2}
seeds: 2
trials: 14
"""


@pytest.fixture(scope="session")
def searched(once: Once, one_ray: None, tracking_database: Path) -> Path:
    """A folder in which a small search with all that a report shows has been run to its end; shared by all tests."""

    def make(folder: Path) -> None:
        (folder / "tiny.yaml").write_text(RECIPE, encoding="utf-8")
        (folder / "space.yaml").write_text(SPACE, encoding="utf-8")
        shutil.copy(tracking_database, folder)
        start_ray()
        done = call("run", "space.yaml", "--name", "s", "--json", cwd=folder)
        assert done.returncode == 0, done.stderr
        (folder / "out.json").write_text(done.stdout, encoding="utf-8")

    return once("searched_to_report", make)


@pytest.fixture(scope="session")
def result(searched: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((searched / "out.json").read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="session")
def tracked(searched: Path) -> TrackedSearch:
    return TrackedSearch(check_uri(f"sqlite:///{searched / 'mlflow.db'}"), "s")


@pytest.fixture(scope="session")
def made_report(once: Once) -> Path:
    """The folder of a report of a search made up, whose figures are in the page alone; shared by all tests."""
    return once("made_report", lambda folder: write_report(MadeSearch(24), folder, ()))


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    if shutil.which("chromium") is None or shutil.which("chromedriver") is None:
        if os.environ.get("REBNN_BROWSER") == "required":
            pytest.fail("no chromium and chromedriver here")
        pytest.skip("no chromium and chromedriver here")
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for word in (
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", f"--user-data-dir={tmp_path / 'profile'}",
    ):  # fmt: skip
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    yield driver
    driver.quit()
