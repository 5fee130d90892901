"""What a search cost is told wherever its result is."""

import json
from pathlib import Path
from typing import Any

import pytest

from rebnn_search.cli.main import main
from rebnn_search.report.page import render
from rebnn_search.report.tracked import TrackedSearch


def test_result_run_page_and_show_agree(
    searched: Path,
    result: dict[str, Any],
    tracked: TrackedSearch,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cost = result["cost"]
    assert cost["core_seconds"] == cost["trial_seconds"] > 0 and cost["gpu_seconds"] == 0
    assert len(cost["run_seconds"]) == 1 and cost["trial_seconds"] < 2 * cost["wall_seconds"]  # two at a time
    run = tracked.parent.data
    assert run.metrics["cost/core_hours"] == cost["core_seconds"] / 3600 and run.metrics["cost/gpu_hours"] == 0
    assert run.metrics["cost/wall_hours"] == cost["wall_seconds"] / 3600
    assert "core-hours, in 1 run of " in run.tags["cost"]
    page = render(tracked, {})
    assert f"<b>{cost['core_seconds'] / 3600:.3g}</b><span>core-hours</span>" in page and "GPU-hours" not in page
    monkeypatch.chdir(searched)
    main(["show", "s", "--json"])
    assert json.loads(capsys.readouterr().out)["result"]["cost"] == cost
    main(["show", "s"])
    assert f"cost: {run.tags['cost']}\n" in capsys.readouterr().out
