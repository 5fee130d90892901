import shutil
import threading
from collections.abc import Iterable
from pathlib import Path

import pytest

from rebnn_search.config import Notice, UserError
from rebnn_search.tracking import SEARCH_TAG, STATE_TAG, TRIAL_TAG, Point, Runs, Tracker
from rebnn_search.tracking.search import find_parent


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory, tracking_database: Path) -> str:
    return f"sqlite:///{shutil.copy(tracking_database, tmp_path_factory.mktemp('tracking'))}"


def history(runs: Runs, run_id: str, key: str) -> list[tuple[int, float]]:
    return sorted((m.step, m.value) for m in runs.client.get_metric_history(run_id, key))


def test_runs_are_made_once_and_found_again(uri: str) -> None:
    first = Runs(uri, "gamma", "id-1")
    parent = first.ensure_parent("gamma-1", {"sampler": "tpe"})
    child = first.ensure_child(3, "flip_ratio #3", {"optimizer.lr": 1e-3})
    second = Runs(uri, "gamma", "id-1")
    assert second.ensure_parent("gamma-1", {"sampler": "tpe"}) == parent
    assert second.ensure_child(3, "flip_ratio #3", {"optimizer.lr": 1e-3}) == child
    assert Runs(uri, "gamma", "id-other").ensure_parent("gamma-2", {}) != parent
    run = first.client.get_run(child)
    assert run.data.params == {"optimizer.lr": "0.001"}
    assert run.info.run_name == "flip_ratio #3"
    tags = run.data.tags
    assert (tags[SEARCH_TAG], tags[TRIAL_TAG], tags[STATE_TAG], tags["mlflow.parentRunId"]) == ("id-1", "3", "RUNNING", parent)


def test_a_point_sent_twice_is_one_point(uri: str) -> None:
    runs = Runs(uri, "gamma", "id-2")
    runs.ensure_parent("p", {})
    child = runs.ensure_child(0, "c", {})
    points = [Point(step, 1000 + step, {"val/loss": 1.0 / step, "val/top1": 50.0}) for step in (1, 2, 3)]
    runs.log(child, points)
    runs.log(child, points[1:])
    assert history(runs, child, "val/loss") == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    assert runs.last_step(child, "val/loss") == 3
    assert runs.last_step(child, "nothing") == 0


def test_more_metrics_than_a_call_takes(uri: str) -> None:
    runs = Runs(uri, "gamma", "id-3")
    child = runs.ensure_child(0, "c", {f"p{i}": i for i in range(150)})
    runs.log(child, [Point(1, 1, {f"m{i}": float(i) for i in range(1500)})])
    data = runs.client.get_run(child).data
    assert (len(data.params), len(data.metrics)) == (150, 1500)


@pytest.mark.parametrize(("state", "status"), [("COMPLETE", "FINISHED"), ("PRUNED", "KILLED"), ("FAIL", "FAILED")])
def test_an_end_is_said_once_and_can_be_taken_back(uri: str, state: str, status: str) -> None:
    runs = Runs(uri, "gamma", f"id-{state}")
    child = runs.ensure_child(0, "c", {})
    for _ in range(2):
        runs.end(child, state, {"reason": "why"}, {"final/val/loss": 0.5})
    run = runs.client.get_run(child)
    assert (run.info.status, run.data.tags[STATE_TAG], run.data.tags["reason"]) == (status, state, "why")
    assert history(runs, child, "final/val/loss") == [(0, 0.5)]
    assert runs.is_ended(0, state)
    runs.ensure_child(0, "c", {})
    assert runs.client.get_run(child).info.status == "RUNNING"
    assert not runs.is_ended(0, state)


def test_the_tracker_keeps_the_order_and_tries_again(uri: str) -> None:
    tracker = Tracker(lambda: Runs(uri, "gamma", "id-tracker"))
    runs = tracker.wait_ready()
    failures = iter([True, True])
    failed = threading.Event()

    def shaky(_: Runs) -> None:
        if next(failures, False):
            failed.set()
            raise ConnectionError("away: https://me:secret@host/")

    tracker.start(0, "c", {"a": 1})
    tracker.do(shaky)
    for step in (1, 2):
        tracker.log(0, Point(step, step, {"x": float(step)}))
    tracker.end(0, lambda runs: runs.end(runs.children[0], "COMPLETE", {}, {}))
    assert failed.wait(60)
    assert tracker.close(60)
    assert tracker.trouble is None
    assert history(runs, runs.children[0], "x") == [(1, 1.0), (2, 2.0)]
    assert runs.is_ended(0, "COMPLETE")


def test_the_tracker_sends_the_reports_of_some_seconds_at_once(uri: str) -> None:
    class Counting(Runs):
        calls = 0
        sent = threading.Event()

        def log(self, run_id: str, points: Iterable[Point]) -> None:
            super().log(run_id, points)
            self.calls += 1
            self.sent.set()

    tracker = Tracker(lambda: Counting(uri, "gamma", "id-batch"))
    runs = tracker.wait_ready()
    assert isinstance(runs, Counting)
    for number in (0, 1):
        tracker.start(number, "c", {})
        for step in range(1, 21):
            tracker.log(number, Point(step, step, {"x": float(step)}))
    # The start of the second sends the first one's; the second one's go when their time has come, with nothing else to do.
    assert runs.sent.wait(60)
    runs.sent.clear()
    assert runs.sent.wait(60)
    assert runs.calls == 2
    assert all(history(runs, runs.children[number], "x") == [(step, float(step)) for step in range(1, 21)] for number in (0, 1))
    assert tracker.close(60)


def test_a_store_of_files_that_fails_holds_up_the_ends_that_need_it_and_nothing_else(uri: str, tmp_path: Path) -> None:
    tracker = Tracker(lambda: Runs(uri, "gamma", "id-aside"))
    runs = tracker.wait_ready()
    store = Path(runs.client.get_experiment(runs.experiment_id).artifact_location.removeprefix("file://"))
    done: list[str] = []

    def end(number: int, text: str) -> None:
        def job(runs: Runs) -> None:
            runs.client.log_text(runs.children[number], text, f"{text}.txt")
            runs.end(runs.children[number], "COMPLETE", {}, {})
            done.append(text)

        tracker.end(number, job)

    for number in (0, 1):
        tracker.start(number, "c", {})
    assert tracker.reached(60)
    if store.exists():
        store.rename(tmp_path / "away")
    store.parent.mkdir(parents=True, exist_ok=True)
    store.write_text("no directory", encoding="utf-8")
    end(0, "first")
    end(0, "second")
    tracker.log(1, Point(1, 1, {"x": 1.0}))
    tracker.do(lambda _: done.append("went on"))
    assert tracker.reached(60)
    assert done == ["went on"]
    assert history(runs, runs.children[1], "x") == [(1, 1.0)]
    assert tracker.trouble is not None and not runs.is_ended(0, "COMPLETE")
    store.unlink()
    end(1, "third")
    tracker.finish(lambda _: done.append("last"))
    assert tracker.close(60)
    assert sorted(done[1:4]) == ["first", "second", "third"] and done[4:] == ["last"]
    assert done.index("first") < done.index("second")
    assert tracker.trouble is None and all(runs.is_ended(number, "COMPLETE") for number in (0, 1))


def test_a_run_that_somebody_deletes_is_one_trial_s_loss(uri: str) -> None:
    tracker = Tracker(lambda: Runs(uri, "gamma", "id-deleted"))
    runs = tracker.wait_ready()
    for number in (0, 1):
        tracker.start(number, "c", {})
    assert tracker.reached(60)
    gone = runs.children[0]
    runs.client.delete_run(gone)
    for number in (0, 1):
        tracker.log(number, Point(1, 1, {"x": 1.0}))
        tracker.end(number, lambda runs, number=number: runs.end(runs.children[number], "COMPLETE", {}, {}))  # type: ignore[misc]
    tracker.start(2, "c", {})
    assert tracker.reached(60)
    assert runs.is_ended(1, "COMPLETE") and history(runs, runs.children[1], "x") == [(1, 1.0)]
    assert sorted(runs.children) == [1, 2] and tracker.trouble is None
    # Begun again, it has a run again.
    tracker.start(0, "c", {})
    tracker.log(0, Point(2, 2, {"x": 2.0}))
    assert tracker.close(60)
    assert runs.children[0] != gone and history(runs, runs.children[0], "x") == [(2, 2.0)]


def test_the_tracker_gives_up_when_told_to(uri: str) -> None:
    tracker = Tracker(lambda: Runs(uri, "gamma", "id-gone"))
    tracker.wait_ready()

    def gone(_: Runs) -> None:
        raise ConnectionError("away: https://me:secret@host/")

    tracker.do(gone)
    assert not tracker.close(0.1)
    assert tracker.trouble is not None
    assert "secret" not in tracker.trouble


def test_a_database_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("not a database", encoding="utf-8")
    with pytest.raises(Exception, match="not a database"):
        Tracker(lambda: Runs(f"sqlite:///{tmp_path}/mlflow.db", "gamma", "x")).wait_ready()


def test_where_files_cannot_be_kept_it_is_said_before_anything_is_trained(tmp_path: Path, tracking_database: Path) -> None:
    """Of an experiment that another machine made, say, with a place there."""
    uri = f"sqlite:///{shutil.copy(tracking_database, tmp_path)}"
    runs = Runs(uri, "gamma", "id")
    runs.check_files()
    kept = Path(runs.client.get_experiment(runs.experiment_id).artifact_location.removeprefix("file://"))
    assert not list(kept.glob("**/opened-*"))
    (tmp_path / "in the way").touch()
    runs.client.create_experiment("elsewhere", artifact_location=(tmp_path / "in the way" / "artifacts").as_uri())
    with pytest.raises(UserError, match=r"files cannot be kept at file:///.*in%20the%20way/artifacts, .*: NotADirectoryError"):
        Runs(uri, "elsewhere", "id").check_files()


def test_of_searches_of_one_name_the_one_that_is_meant_is_found(uri: str) -> None:
    """Where several people track at one place."""
    mine, other = Runs(uri, "shared", "id-mine"), Runs(uri, "shared", "id-of-another")
    parents = [runs.ensure_parent("gamma-7", {}) for runs in (mine, other)]
    client = mine.client
    assert find_parent(client, "gamma-7", "id-mine").info.run_id == parents[0]
    assert find_parent(client, "gamma-7", "id-of-another").info.run_id == parents[1]
    assert find_parent(client, "gamma-7", parents[0]).info.run_id == parents[0]
    with pytest.raises(UserError, match="holds another search of this name and not the one that is kept here"):
        find_parent(client, "gamma-7", "id-of-nobody")
    with pytest.warns(Notice, match="tracking holds 2 searches called gamma-7: this is the newest, begun"):
        find_parent(client, "gamma-7")
    with pytest.raises(UserError, match=r"holds no search of this name; there: .*gamma-7"):
        find_parent(client, "gamma-8")
