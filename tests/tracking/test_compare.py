"""MLflow's comparison of runs opens on the metric that was logged first: the objective."""

import json
from urllib.parse import parse_qs, urlsplit

import pytest

from rebnn_search.execution.trial_runs import point
from rebnn_search.tracking import Runs, compare_link
from rebnn_search.training.report_log import TrackedReport

METRICS = {"train/loss": 2.0, "train/lr": 0.1, "val/loss": 1.0, "val/top1": 30.0}


@pytest.mark.parametrize("objective", ["val/loss", "val/top1"])
def test_the_store_gives_the_objective_first(tracking_uri: str, objective: str) -> None:
    runs = Runs(tracking_uri, "gamma", "key")
    runs.ensure_parent("gamma-1", {})
    run_id = runs.ensure_child(0, "#0", {})
    reports = [TrackedReport(step, step / 4, 1000 * step, False, METRICS) for step in (1, 2)]
    runs.log(run_id, [point(report, objective) for report in reports])
    runs.end(run_id, "COMPLETE", {}, {"best/val/loss": 1.0})
    assert next(iter(runs.client.get_run(run_id).data.metrics)) == objective
    assert point(reports[0], objective).metrics == METRICS == point(reports[0], "another").metrics


def test_the_link_names_runs_and_experiment() -> None:
    link = compare_link("https://mlflow.example/", "7", ["a1", "b2"])
    assert link is not None and link.startswith("https://mlflow.example/#/compare-runs?") and '"' not in link
    found = parse_qs(urlsplit(urlsplit(link).fragment).query)
    assert {name: json.loads(text) for name, (text,) in found.items()} == {"runs": ["a1", "b2"], "experiments": ["7"]}
    assert compare_link("sqlite:////x/mlflow.db", "7", ["a1"]) is None
    assert str(compare_link("sqlite:////x/mlflow.db", "7", ["a1", "b2"])).startswith("http://127.0.0.1:5000/#/compare-runs?")
