"""What a search cost is told wherever its result is."""

import json
from pathlib import Path
from typing import Any

from support.commands import call

from rebnn_search.report.page import render
from rebnn_search.report.tracked import TrackedSearch


def test_result_run_page_and_show_agree(searched: Path, result: dict[str, Any], tracked: TrackedSearch) -> None:
    cost = result["cost"]
    assert cost["core_seconds"] == cost["trial_seconds"] > 0 and cost["gpu_seconds"] == 0
    assert len(cost["run_seconds"]) == 1 and cost["trial_seconds"] < 2 * cost["wall_seconds"]  # two at a time
    run = tracked.parent.data
    assert run.metrics["cost/core_hours"] == cost["core_seconds"] / 3600 and run.metrics["cost/gpu_hours"] == 0
    assert run.metrics["cost/wall_hours"] == cost["wall_seconds"] / 3600
    assert "core-hours, in 1 run of " in run.tags["cost"]
    page = render(tracked, {})
    assert f"<b>{cost['core_seconds'] / 3600:.3g}</b><span>core-hours</span>" in page and "GPU-hours" not in page
    shown = call("__main__", "show", "s", "--json", cwd=searched)
    assert json.loads(shown.stdout)["result"]["cost"] == cost
    assert f"cost: {run.tags['cost']}\n" in call("__main__", "show", "s", cwd=searched).stdout
