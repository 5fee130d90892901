"""What the page does in a browser: filters, points, follows the window's colours and width; and how large it gets."""

import re
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from support.made_search import MadeSearch

from rebnn_search.report import write_report

MOST_BYTES = 5_000_000


@pytest.fixture(scope="module")
def page(made_report: Path) -> str:
    return (made_report / "report.html").as_uri()


def shown(browser: webdriver.Chrome) -> list[str]:
    rows = browser.find_elements(By.CSS_SELECTOR, "#trials tbody tr")
    return [row.get_attribute("data-trial") or "" for row in rows if row.is_displayed()]


def test_rows_are_filtered_by_words_and_states(browser: webdriver.Chrome, page: str) -> None:
    search = MadeSearch(24)
    browser.get(page)
    box = browser.find_element(By.CSS_SELECTOR, "#filter input")
    assert len(shown(browser)) == 24
    box.send_keys("fan_in constant")
    fitting = {
        str(t.number)
        for t in search.trials
        if (t.params["scale_init.strategy"], t.params["gamma.strategy"]) == ("fan_in", "constant")
    }
    assert set(shown(browser)) == fitting and 0 < len(fitting) < 24
    assert browser.find_element(By.CSS_SELECTOR, "#filter output").text == f"{len(fitting)} of 24"
    box.clear()
    box.send_keys("#2")
    assert shown(browser) == ["2"], "not #20 to #23"
    box.clear()
    box.send_keys(" ")
    browser.find_element(By.CSS_SELECTOR, "[data-state='PRUNED']").click()
    assert set(shown(browser)) == {str(t.number) for t in search.trials if t.state == "COMPLETE"}
    browser.find_element(By.CSS_SELECTOR, "[data-state='PRUNED']").click()
    assert len(shown(browser)) == 24


def test_a_curve_says_under_the_pointer_which_trial_it_is_of(browser: webdriver.Chrome, page: str) -> None:
    browser.get(page)
    curves = browser.find_elements(By.CSS_SELECTOR, "#figure-intermediate_values svg .trial")
    assert sorted(int(curve.get_attribute("data-trial") or "") for curve in curves) == list(range(24))
    tip = browser.find_element(By.ID, "tip")
    assert not tip.is_displayed()
    picture = browser.find_element(By.CSS_SELECTOR, "#figure-intermediate_values svg")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", picture)
    # A point that lies on a curve, as an offset from the picture's middle.
    x, y, trial = browser.execute_script(
        """const [svg] = arguments, box = svg.getBoundingClientRect();
        for (const curve of svg.querySelectorAll('.trial')) {
          const path = curve.querySelector('path'), at = path.getPointAtLength(path.getTotalLength() / 2);
          const there = at.matrixTransform(path.getScreenCTM());
          const found = document.elementFromPoint(there.x, there.y)?.closest('.trial');
          if (found) return [there.x - box.x - box.width / 2, there.y - box.y - box.height / 2, found.dataset.trial];
        }""",
        picture,
    )
    ActionChains(browser).move_to_element_with_offset(picture, round(x), round(y)).perform()
    assert tip.is_displayed()
    named = re.match(r"trial #(\d+)\n", tip.text)
    assert named is not None and "val loss 0." in tip.text
    pointed = browser.find_elements(By.CSS_SELECTOR, ".pointed")
    assert {one.get_attribute("data-trial") for one in pointed} == {named[1]} and len(pointed) == 2, "curve and row"
    assert trial is not None
    ActionChains(browser).move_to_element(browser.find_element(By.TAG_NAME, "h1")).perform()
    assert not tip.is_displayed() and not browser.find_elements(By.CSS_SELECTOR, ".pointed")


@pytest.mark.parametrize(("scheme", "dark"), [("light", False), ("dark", True)])
def test_paper_and_ink_follow_the_reader_s_choice(browser: webdriver.Chrome, page: str, scheme: str, dark: bool) -> None:
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
    metrics = {"width": 390, "height": 900, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get(page)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 390

    def light(selector: str, of: str) -> float:
        script = "return getComputedStyle(document.querySelector(arguments[0]))[arguments[1]]"
        numbers = re.findall(r"\d+", browser.execute_script(script, selector, of))
        return sum(map(int, numbers[:3])) / (3 * 255)

    for selector in ("body", "#figure-history svg"):
        assert (light(selector, "color") > 0.7) == dark
    assert (light("body", "backgroundColor") < 0.3) == dark
    assert (light("#figure-history svg text", "fill") > 0.7) == dark
    assert (light("#figure-history svg #history-patch_1 path", "fill") < 0.3) == dark


@pytest.mark.slow(minutes=2)
def test_a_thousand_trials_make_a_page_of_less_than_five_megabytes(tmp_path: Path) -> None:
    write_report(MadeSearch(1000), tmp_path, ())
    assert (tmp_path / "report.html").stat().st_size < MOST_BYTES
