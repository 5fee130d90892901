"""What the simulation found of tracking, each by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from mlflow.exceptions import MlflowException

from rebnn_search.execution.reconcile import reconcile
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.study.ledger import Ledger
from rebnn_search.testing.pause_rule import REPORTS, drive, simulated_search
from rebnn_search.tracking import LAST_TAG, Point, Runs, Tracker
from rebnn_search.tracking.runs import SEARCH_TAG
from rebnn_search.training.report_log import read_reports


class Searched(NamedTuple):
    """A search that was stopped in its first trial, or is done, without tracking, and what resuming it begins with."""

    folder: SearchFolder
    resume: Callable[[], None]
    finished: bool


LOST = {
    "more reports than it has": [(step, 1000 * step) for step in range(1, REPORTS + 2)],
    "its reports, made at other times": [(step, 1000 * step) for step in (1, 2, 3)],
}
"""What a trial's run tells of, whose machine is gone."""


@pytest.fixture
def runs(tracking_database: Path, tmp_path: Path) -> Runs:
    (tmp_path / "mlflow.db").write_bytes(tracking_database.read_bytes())
    return Runs(f"sqlite:///{tmp_path / 'mlflow.db'}", "space", "0" * 32)


def test_a_run_whose_making_was_not_answered_is_not_made_again(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    create = runs.client.create_run

    def unheard(*args: Any, **options: Any) -> None:
        create(*args, **options)
        monkeypatch.undo()
        raise MlflowException("no answer")

    for ensure in (lambda: runs.ensure_parent("s", {}), lambda: runs.ensure_child(0, "#0", {})):
        monkeypatch.setattr(runs.client, "create_run", unheard)
        with pytest.raises(MlflowException):
            ensure()
        ensure()
    assert len(runs.client.search_runs([runs.experiment_id])) == 2


def test_an_enlarged_search_shows_its_new_best(runs: Runs) -> None:
    parent = runs.ensure_parent("s", {})
    for value in (2.0, 1.0, 1.5):
        for _ in range(2):
            runs.end(parent, "FINISHED", {}, {"best/val_loss": value})
        assert runs.client.get_run(parent).data.metrics["best/val_loss"] == value
    assert [point.step for point in runs.client.get_metric_history(parent, "best/val_loss")] == [0, 1, 2]


@pytest.fixture(params=[3, 0], ids=["unfinished", "finished"])
def searched(request: pytest.FixtureRequest, runs: Runs, tmp_path: Path) -> Iterator[Searched]:
    with simulated_search("trials=2", "pruner=none") as (search, path):
        drive(search, path / "s", stop_after=request.param)
        folder = SearchFolder(path / "s")
        runs.ensure_parent("s", {})

        def resume() -> None:
            tracker = Tracker(lambda: runs)
            reconcile(search, folder, Ledger(folder, search), tracker)
            assert tracker.close(60)

        yield Searched(folder, resume, not request.param)


def told(runs: Runs, number: int = 0) -> list[tuple[int, int]]:
    """Steps and times of the reports that a trial's run tells of."""
    history = runs.client.get_metric_history(runs.children[number], "val/loss")
    return sorted((point.step, point.timestamp) for point in history if point.step)


def reported(folder: SearchFolder, number: int = 0) -> list[tuple[int, int]]:
    """Those of its file."""
    return [(report.step, report.timestamp) for report in read_reports(folder.report_file(number))]


@pytest.mark.parametrize("lost", LOST.values(), ids=LOST)
@pytest.mark.parametrize("ended", [False, True], ids=["open", "ended"])
def test_a_run_that_tells_of_another_trial_s_reports_is_made_anew(
    runs: Runs, searched: Searched, lost: list[tuple[int, int]], ended: bool
) -> None:
    folder, resume, _ = searched
    first = runs.ensure_child(0, "#0", {})
    runs.log(first, [Point(step, time, {"val/loss": 1.0}) for step, time in lost])
    if ended:
        runs.end(first, "COMPLETE", {LAST_TAG: "{} at {}".format(*lost[-1])}, {})
    resume()
    assert runs.children[0] != first and told(runs) == reported(folder)
    assert runs.client.get_run(first).info.lifecycle_stage == "deleted"
    kept = dict(runs.children)
    resume()
    assert runs.children == kept and told(runs) == reported(folder)


def test_what_a_file_has_lost_of_a_finished_trial_stays_in_its_run(runs: Runs, searched: Searched) -> None:
    folder, resume, finished = searched
    resume()
    kept, before = dict(runs.children), told(runs)
    lines = folder.report_file(0).read_bytes().splitlines(keepends=True)
    folder.report_file(0).write_bytes(b"".join(lines[:-1]))
    resume()
    assert (runs.children == kept) == finished
    assert told(runs) == (before if finished else reported(folder))


@pytest.mark.parametrize("call", ["set_tag", "delete_run"])
def test_a_run_whose_putting_away_was_not_answered_is_put_away(
    runs: Runs, searched: Searched, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    folder, resume, _ = searched
    first = runs.ensure_child(0, "#0", {})
    runs.log(first, [Point(9, 9000, {"val/loss": 1.0})])
    real = getattr(runs.client, call)

    def unheard(*args: Any, **options: Any) -> None:
        real(*args, **options)
        monkeypatch.undo()
        raise MlflowException("no answer")

    monkeypatch.setattr(runs.client, call, unheard)
    resume()
    assert runs.children[0] != first and told(runs) == reported(folder)
    assert runs.client.get_run(first).info.lifecycle_stage == "deleted"


def test_of_two_runs_of_a_trial_the_one_that_was_worked_with_is_kept(runs: Runs, tmp_path: Path) -> None:
    parent = runs.ensure_parent("s", {"sampler": "random"})
    kept = runs.ensure_child(0, "#0", {"optimizer.lr": 0.1})
    stray = [runs.client.create_run(runs.experiment_id, tags=runs.own_tags(0)).info.run_id for _ in range(2)]
    stray.append(runs.client.create_run(runs.experiment_id, tags={SEARCH_TAG: runs.search_id}).info.run_id)
    again = Runs(f"sqlite:///{tmp_path / 'mlflow.db'}", "space", runs.search_id)
    assert (again.parent_id, again.children, sorted(again.doubles)) == (parent, {0: kept}, sorted(stray))
    runs.client.delete_run(stray[0])  # by a call that was not answered
    again.forget_doubles()
    assert len(runs.client.search_runs([runs.experiment_id])) == 2
