"""The runs of last trainings do all that a search's do."""

import shutil
from pathlib import Path

import pytest

from rebnn_search.tracking.refits import RefitRuns
from rebnn_search.tracking.runs import Point, Runs


def test_a_refit_s_run_is_made_once_and_takes_points_again(tmp_path: Path, tracking_database: Path) -> None:
    shutil.copy(tracking_database, tmp_path)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    search = Runs(uri, "space", "0" * 32)
    search.ensure_parent("s", {})
    points = [Point(step, 1000 * step, {"train/loss": 1.0 / step}) for step in (1, 2, 3)]
    for _ in range(2):
        runs = RefitRuns(uri, search.parent_id, "key")
        run_id = runs.ensure_child(0, "seed 0", {"seed": 0})
        runs.log(run_id, points)
        runs.end(run_id, "COMPLETE", {}, {"test/top1": 90.0})
    assert runs.children == {0: run_id} and runs.is_ended(0, "COMPLETE")
    assert [point.step for point in runs.client.get_metric_history(run_id, "train/loss")] == [1, 2, 3]
    assert Runs(uri, "space", "0" * 32).children == {}, "no trial of the search"


def test_one_whose_answer_was_lost_is_found_again(
    tmp_path: Path, tracking_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(tracking_database, tmp_path)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    search = Runs(uri, "space", "0" * 32)
    search.ensure_parent("s", {})
    runs = RefitRuns(uri, search.parent_id, "key")
    create = runs.client.create_run

    def unanswered(*args: object, **options: object) -> object:
        create(*args, **options)
        raise ConnectionError("the answer was lost")

    monkeypatch.setattr(runs.client, "create_run", unanswered)
    with pytest.raises(ConnectionError):
        runs.ensure_child(0, "seed 0", {})
    monkeypatch.setattr(runs.client, "create_run", create)
    run_id = runs.ensure_child(0, "seed 0", {})
    assert RefitRuns(uri, search.parent_id, "key").children == {0: run_id}
    assert len(runs.client.search_runs([runs.experiment_id])) == 2, "the parent's and one"
