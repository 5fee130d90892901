"""A search's view in MLflow's UI, in a real browser."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from rebnn_search.base.metrics import BEST_VAL_LOSS, EPOCHS, FLIP_RATIO, VAL_LOSS, VAL_TOP1, final
from rebnn_search.report import TrackedSearch
from rebnn_search.tracking.ui import HOST, serve_ui

PATIENCE = 60
SHOWN = (VAL_LOSS, VAL_TOP1, FLIP_RATIO, EPOCHS)


@pytest.fixture(scope="module")
def ui(searched: Path) -> Iterator[str]:
    with socket.socket() as probe:  # not MLflow's usual one, where another test's may be about to listen
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    with serve_ui(f"sqlite:///{searched / 'mlflow.db'}", port):
        yield f"http://{HOST}:{port}"


def wide(browser: webdriver.Chrome) -> None:
    """Wide enough for every column to be drawn: the table makes those alone that are in sight."""
    metrics = {"width": 2600, "height": 1400, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def column(browser: webdriver.Chrome, name: str) -> list[str]:
    """A column's cells, from the top."""
    cells = browser.find_elements(By.CSS_SELECTOR, f'.ag-row [col-id="{name}"]')
    tops = [cell.find_element(By.XPATH, "..").location["y"] for cell in cells]
    # A run's name stands below its colour's, which is there for who cannot see it.
    return [text.splitlines()[-1] for _, text in sorted(zip(tops, [cell.text for cell in cells], strict=True)) if text]


def wait_for(browser: webdriver.Chrome, name: str, count: int) -> list[str]:
    wait = WebDriverWait(browser, PATIENCE, ignored_exceptions=[Exception])
    found: list[str] = wait.until(lambda b: cells if len(cells := column(b, name)) >= count else None)
    return found


@pytest.mark.slow(minutes=1.5)
def test_the_shared_view_shows_the_search(
    browser: webdriver.Chrome, ui: str, tracked: TrackedSearch, result: dict[str, Any]
) -> None:
    wide(browser)
    browser.get(result["view"].replace("http://127.0.0.1:5000", ui))
    names = wait_for(browser, "attributes.`Run Name`", len(tracked.trials))
    trials = {trial.name: trial for trial in tracked.trials}
    assert set(names) == set(trials), "the trials, and the trials alone"
    assert all(name.startswith(f"#{trial.number} ") for name, trial in trials.items())
    rows = [trials[name] for name in names]
    losses = [trial.metrics[final(VAL_LOSS)] for trial in rows]
    assert losses == sorted(losses)
    assert column(browser, "tags.`state`") == [trial.state for trial in rows]
    assert "PRUNED" in column(browser, "tags.`state`")
    for metric in (*map(final, SHOWN), BEST_VAL_LOSS):
        seen = [float(text) for text in column(browser, f"metrics.`{metric}`")]
        assert seen == pytest.approx([trial.metrics[metric] for trial in rows], rel=1e-6)
    assert [float(text) for text in column(browser, "params.`optimizer.lr`")] == [
        trial.params["optimizer.lr"] for trial in rows
    ]
    assert column(browser, "params.`weights`") == [trial.params["weights"] for trial in rows]
    shown = {head.get_attribute("col-id") for head in browser.find_elements(By.CSS_SELECTOR, ".ag-header-cell[col-id]")}
    assert {"params.`gamma.strategy`", "params.`gamma.value`"} <= shown

    browser.get("about:blank")
    browser.get(result["view"].replace("http://127.0.0.1:5000", ui) + "&compareRunsMode=CHART")
    wait = WebDriverWait(browser, PATIENCE, ignored_exceptions=[Exception])
    wait.until(lambda b: "Parallel Coordinates" in b.find_element(By.TAG_NAME, "body").text)
    page = browser.find_element(By.TAG_NAME, "body").text
    assert "Search\n(4)" in page and VAL_LOSS in page and VAL_TOP1 in page


@pytest.mark.parametrize("ending", ["", "?soon=another"])
def test_without_the_view_the_usual_table_stands_there(
    browser: webdriver.Chrome, ui: str, tracked: TrackedSearch, ending: str
) -> None:
    """As in an MLflow that reads no such tag."""
    wide(browser)
    browser.get(f"{ui}/#/experiments/{tracked.parent.info.experiment_id}/runs{ending}")
    assert tracked.name in wait_for(browser, "attributes.`Run Name`", 1)


def test_a_key_that_is_gone_leads_to_the_experiment(browser: webdriver.Chrome, ui: str, tracked: TrackedSearch) -> None:
    """A view's tag can be deleted by anyone."""
    wide(browser)
    experiment = f"{ui}/#/experiments/{tracked.parent.info.experiment_id}"
    browser.get(f"{experiment}/runs?viewStateShareKey=unknown")
    WebDriverWait(browser, PATIENCE).until(lambda b: "viewStateShareKey" not in b.current_url)
    assert browser.current_url.startswith(experiment)


def test_the_report_links_to_it(searched: Path, tracked: TrackedSearch, result: dict[str, Any]) -> None:
    page = (searched / "results" / "s" / "report" / "report.html").read_text(encoding="utf-8")
    assert tracked.view == result["view"] and f'<a href="{result["view"]}">' in page
