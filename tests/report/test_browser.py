"""The report and MLflow's UI in a real browser."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
import torch
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from rebnn_search.report import TrackedSearch
from rebnn_search.report.figures import FIGURES
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.storage.locate import checkpoints_of
from rebnn_search.training import Trainer, load_recipe
from rebnn_search.training.data.normalisation import normalise

PATIENCE = 60


def column(browser: webdriver.Chrome, index: int) -> list[str]:
    return [cell.text for cell in browser.find_elements(By.CSS_SELECTOR, f"#trials tbody td:nth-child({index + 1})")]


@pytest.mark.slow(minutes=1)
def test_the_report_works_offline_sorts_and_copies(browser: webdriver.Chrome, searched: Path, result: dict[str, Any]) -> None:
    page = searched / "results" / "s" / "report" / "report.html"
    needed = re.sub(r"<a href=[^>]*>", "", page.read_text(encoding="utf-8"))
    assert not re.findall(r"""(?:src|href)=["'](?!#|data:)""", needed)
    browser.get(page.as_uri())
    assert browser.find_element(By.TAG_NAME, "h1").text == "s"
    assert (
        len(browser.find_elements(By.CSS_SELECTOR, "figure svg")) == len(FIGURES) - 2
    )  # no front, no early looks: test_numbers.py
    headings = [heading.text.strip() for heading in browser.find_elements(By.CSS_SELECTOR, "#trials th")]
    losses = headings.index("val loss")
    assert column(browser, 0)[0] == f"#{result['best']['number']}"
    button = browser.find_elements(By.CSS_SELECTOR, "#trials th button")[losses]
    button.click()
    rising = [float(text) for text in column(browser, losses) if text]
    assert rising == sorted(rising) and len(rising) == 14
    button.click()
    assert [float(text) for text in column(browser, losses) if text] == sorted(rising, reverse=True)
    browser.execute_script("window.setTimeout = () => 0")  # which would take the word away again
    browser.find_element(By.CLASS_NAME, "copy").click()
    WebDriverWait(browser, PATIENCE).until(lambda b: b.find_element(By.CLASS_NAME, "copy").text == "copied")
    asked = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [m["params"]["request"]["url"] for m in asked if m["method"] == "Network.requestWillBeSent"]
    assert [url for url in urls if not url.startswith(("file:", "data:", "chrome"))] == []
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_fits_the_window(browser: webdriver.Chrome, searched: Path, width: int) -> None:
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get((searched / "results" / "s" / "report" / "report.html").as_uri())
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width


def test_the_best_model_loads_back_to_the_same_predictions(
    searched: Path, tracked: TrackedSearch, result: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracked.uri)  # set_tracking_uri leaves it set
    number = result["best"]["number"]
    trainer = Trainer(load_recipe(result["best"]["recipe"]))
    found = checkpoints_of(SearchFolder(searched / "results" / "s"), number).latest()
    assert found is not None
    trainer.load_state_dict(found[1]["trainer"])
    images, _ = next(trainer.data.batches("test", batch_size=64, seed=0, epoch=0))
    raw = images * trainer.data.std + trainer.data.mean
    trainer.network.eval()
    with torch.no_grad():
        expected = trainer.network(normalise(raw, trainer.data.mean, trainer.data.std))

    def alike(found: Any) -> bool:
        """But for an image or two whose activation is so near its threshold that a fused sum turns its sign."""
        rows: Any = np.isclose(np.asarray(found), expected.numpy(), atol=1e-4, rtol=1e-4).all(1)
        return bool(rows.mean() > 0.95)

    mlflow.set_tracking_uri(tracked.uri)
    models = mlflow.search_logged_models([tracked.parent.info.experiment_id], output_format="list")
    assert [model.name for model in models] == ["best_model"]
    loaded = mlflow.pytorch.load_model(models[0].model_uri)
    assert alike(loaded(raw).detach())
    as_function = mlflow.pyfunc.load_model(models[0].model_uri)
    assert as_function.metadata.signature is not None
    assert alike(as_function.predict(raw.numpy()))


@pytest.fixture(scope="module")
def ui(searched: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    store = f"sqlite:///{searched / 'mlflow.db'}"
    words = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store, "--port", str(port), "--workers", "1"]
    server = subprocess.Popen(words, cwd=searched, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    url = f"http://127.0.0.1:{port}"
    while server.poll() is None:
        try:
            urllib.request.urlopen(f"{url}/health", timeout=5)
            break
        except OSError:
            continue
    assert server.poll() is None
    yield url
    os.killpg(server.pid, signal.SIGKILL)
    server.wait()


def wait_for(browser: webdriver.Chrome, *texts: str) -> str:
    def shown(b: webdriver.Chrome) -> str | bool:
        text = b.find_element(By.TAG_NAME, "body").text
        return text if all(one in text for one in texts) else False

    try:
        found = WebDriverWait(browser, PATIENCE, ignored_exceptions=[Exception]).until(shown)
    except Exception:
        raise AssertionError(f"not all of {texts} in:\n{browser.find_element(By.TAG_NAME, 'body').text}") from None
    assert isinstance(found, str)
    return found


@pytest.mark.slow(minutes=1.5)
def test_mlflow_s_ui_shows_the_search(
    browser: webdriver.Chrome, ui: str, tracked: TrackedSearch, result: dict[str, Any]
) -> None:
    browser.set_window_size(1600, 1200)
    experiment = f"{ui}/#/experiments/{tracked.parent.info.experiment_id}"
    best = next(trial for trial in tracked.trials if trial.number == result["best"]["number"])

    browser.get(f"{experiment}/runs/{tracked.parent.info.run_id}")
    wait_for(browser, "s", "Best:", "val loss")

    browser.get(f"{experiment}/runs/{best.run_id}")
    wait_for(browser, best.name, "final/val/loss", "best/val/top1")

    browser.get(f"{experiment}/runs/{best.run_id}/model-metrics")
    wait_for(browser, "best/val", "final/val", "oscillation/layer_00", "oscillation/mean", "train", "val")

    three = json.dumps([trial.run_id for trial in tracked.trials[:3]])
    browser.get(f'{ui}/#/compare-runs?runs={three}&experiments=["{tracked.parent.info.experiment_id}"]')
    wait_for(browser, *(trial.name for trial in tracked.trials[:3]))
