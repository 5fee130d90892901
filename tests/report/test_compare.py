"""The best trials beside each other in MLflow's UI, in a real browser."""

import socket
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from rebnn_search.report.page import render
from rebnn_search.report.tracked import TrackedSearch
from rebnn_search.tracking.ui import HOST, serve_ui

PATIENCE = 60


@pytest.mark.slow(minutes=1.5)
def test_the_comparison_opens_on_the_objective(
    browser: webdriver.Chrome, searched: Path, result: dict[str, Any], tracked: TrackedSearch
) -> None:
    assert result["compare"] == tracked.compare
    with socket.socket() as probe:  # not MLflow's usual one, where another test's may be about to listen
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    with serve_ui(f"sqlite:///{searched / 'mlflow.db'}", port):
        browser.get(result["compare"].replace("http://127.0.0.1:5000", f"http://{HOST}:{port}"))
        wait = WebDriverWait(browser, PATIENCE, ignored_exceptions=[Exception])
        wait.until(lambda b: "Metrics:" in b.find_element(By.TAG_NAME, "body").text)
        page = browser.find_element(By.TAG_NAME, "body").text
    assert "Comparing 3 Runs" in page
    assert page.partition("Metrics:\n")[2].startswith(f"{result['objective']}\n")


def test_the_page_links_it(result: dict[str, Any], tracked: TrackedSearch) -> None:
    assert result["compare"] == tracked.compare is not None
    assert f'<a href="{result["compare"].replace("&", "&amp;")}">' in render(tracked, {})
