"""Makes the pictures of the documents: ``python docs/make_images.py FOLDER`` with a folder in which the default search has been run.

    mkdir try && cd try && python -m rebnn_search.run .../search_spaces/gamma.yaml && cd .. && python docs/make_images.py try

Needs Chromium and selenium (``pip install ".[test]"``). The terminal's picture is made from what the command prints, by rich.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from rebnn_search.report import TrackedSearch
from rebnn_search.tracking import check_uri
from rebnn_search.tracking.shared_view import UI

IMAGES = Path(__file__).with_name("images")
NAME = "gamma-1"
UNFOLD = "button[data-component-id*='runnamecellrenderer']"


@contextlib.contextmanager
def ui(folder: Path) -> Iterator[str]:
    """MLflow's UI on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--backend-store-uri",
        "sqlite:///mlflow.db",
        "--port",
        str(port),
        "--workers",
        "1",
    ]
    server = subprocess.Popen(words, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        while server.poll() is None:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                break
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, signal.SIGKILL)


def browser(profile: str) -> webdriver.Chrome:
    """Chromium without a window."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for word in ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--hide-scrollbars",
                 f"--user-data-dir={profile}"):  # fmt: skip
        options.add_argument(word)
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))


def shoot(driver: webdriver.Chrome, url: str, file: str, width: int, height: int, *texts: str, settle: float = 3.0) -> None:
    """Photograph a page once it shows the texts."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    driver.get(
        "about:blank"
    )  # an address that differs behind its # alone loads nothing anew; and reloading drops a shared view
    driver.get(url)
    WebDriverWait(driver, 240).until(lambda d: all(text in d.find_element(By.TAG_NAME, "body").text for text in texts))
    # An assistant's panel takes a quarter of the page; the children of a run are folded away.
    for button in driver.find_elements(By.CSS_SELECTOR, "button[data-component-id*='chat_panel.close'], " + UNFOLD):
        button.click()
    for more in driver.find_elements(By.XPATH, "//*[text()='Show more']"):
        more.click()
    time.sleep(settle)  # charts are drawn in their own time, and say nothing
    driver.save_screenshot(str(IMAGES / file))


def scheme(driver: webdriver.Chrome, name: str) -> None:
    """Let pages think that the reader prefers ``light`` or ``dark``."""
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": name}]})


def main() -> None:
    """Photograph the report and MLflow's UI."""
    folder = Path(sys.argv[1])
    IMAGES.mkdir(exist_ok=True)
    tracked = TrackedSearch(check_uri(f"sqlite:///{folder.absolute() / 'mlflow.db'}"), NAME)
    report = folder / "results" / NAME / "report"
    for name in ("oscillation", "training_loss", "intermediate_values", "contenders"):
        shutil.copy(report / "figures" / f"{name}.png", IMAGES / f"{name}.png")
    with tempfile.TemporaryDirectory() as profile, ui(folder) as url:
        driver = browser(profile)
        page = (report / "report.html").absolute().as_uri()
        shoot(driver, page, "report.png", 1280, 1100, NAME, settle=0)
        scheme(driver, "dark")
        shoot(driver, page, "report_narrow.png", 390, 1100, NAME, settle=0)
        scheme(driver, "light")
        experiment = f"{url}/#/experiments/{tracked.parent.info.experiment_id}"
        complete = [trial for trial in tracked.trials if trial.state == "COMPLETE"][-3:]
        shoot(driver, f"{experiment}/runs", "mlflow_table_before.png", 1280, 800, NAME, settle=8)
        view = (tracked.view or experiment).replace(UI, url)
        shoot(driver, view, "mlflow_table.png", 1280, 800, "COMPLETE", settle=8)
        shoot(driver, f"{view}&compareRunsMode=CHART", "mlflow_runs.png", 1600, 900, "Parallel", settle=8)
        shoot(driver, f"{experiment}/runs/{tracked.parent.info.run_id}", "mlflow_parent.png", 1600, 1100, "Best:")
        charts = f"{experiment}/runs/{complete[-1].run_id}/model-metrics"
        shoot(driver, charts, "mlflow_charts.png", 1600, 1100, "oscillation/mean", settle=6)
        three = json.dumps([trial.run_id for trial in complete])
        compare = f'{url}/#/compare-runs?runs={three}&experiments=["{tracked.parent.info.experiment_id}"]'
        shoot(driver, compare, "mlflow_compare.png", 1600, 1100, *(trial.name for trial in complete))
        driver.quit()


if __name__ == "__main__":
    main()
