"""Time budgets of searches."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from rebnn_search.base.duration import duration_text, parse_duration
from rebnn_search.config import UserError
from rebnn_search.execution import budget as budget_module
from rebnn_search.execution.budget import Budget


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("30m", 1800), ("2h", 7200), ("1h30m", 5400), ("0.5m", 30), ("1min", 60), ("1d", 86400), ("1 h 30 m", 5400)],
)
def test_times(text: str, seconds: float) -> None:
    assert parse_duration(text, "--time") == seconds


@pytest.mark.parametrize("seconds", [1, 45, 60, 200, 3600, 7500, 86400])
def test_a_time_as_it_is_written_is_a_time(seconds: int) -> None:
    assert parse_duration(duration_text(seconds), "--time") == seconds


@pytest.mark.parametrize("text", ["", "90", "m", "0s", "-3s", "3  m", "1w", "30ms", "1m m", "1m\n"])
def test_no_times(text: str) -> None:
    with pytest.raises(UserError, match=re.escape(f"--time {text}: expected a time such as 90s")):
        parse_duration(text, "--time")


def test_the_smallest_that_would_do_is_that_of_the_fastest(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(budget_module.time, "monotonic", lambda: now[0])
    budget = Budget(50.0)
    assert budget.smallest(10) is None
    for at, number, epoch in ((10.0, 0, None), (10.0, 1, None), (14.0, 0, 1.0), (15.0, 1, 1.0), (16.0, 0, 2.0), (20.0, 1, 2.0)):
        now[0] = 100.0 + at
        if epoch is None:
            budget.started(number)
        else:
            budget.reported(number, epoch)
    assert not budget.over
    # The first epoch ended at 14 s, each further one takes 2 s, and the end some seconds; a fifth more to be sure.
    assert budget.smallest(30) == pytest.approx(1.2 * (14 + 29 * 2 + budget_module.CLOSING_SECONDS))
    assert budget.smallest(2) == 51.0
    budget.started(0)  # again, after a pause: how fast it was stays known
    assert budget.smallest(30) == pytest.approx(1.2 * (14 + 29 * 2 + budget_module.CLOSING_SECONDS))
    now[0] = 146.0
    assert budget.over


@pytest.mark.slow(minutes=0.5)
def test_a_search_ends_in_time_as_finished(run_search: Any, finished: Any) -> None:
    done = run_search(finished.path, "--resume", "--trials", "4000", "--time-budget", "15s", "--tracking-uri", finished.uri)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the time was over after" in done.stdout
    folder = finished.path / "results" / "mine"
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    complete = [trial for trial in result["trials"] if trial["state"] == "COMPLETE"]
    assert 2 <= len(complete) <= len(result["trials"]) < 4000
    assert result["best"]["number"] == min(complete, key=lambda trial: trial["val_loss"])["number"]
    for trial in result["trials"]:
        if trial["state"] == "RUNNING" and trial["epochs"]:
            assert list((folder / "trials" / f"{trial['number']:04d}" / "checkpoints").glob("*.pt"))


@pytest.mark.slow(minutes=0.5)
def test_a_budget_too_small_is_said_with_the_smallest_that_would_do(run_search: Any, tmp_path: Path) -> None:
    done = run_search(tmp_path, "--set", "epochs=3000", "--time-budget", "12s")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    enough = r"over before any trial was trained to its end: --time-budget (\d+s|some times as much) would do"
    assert re.search(enough, done.stderr), done.stderr
    assert not (tmp_path / "results" / "mine" / "result.json").exists()
