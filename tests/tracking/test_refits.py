"""The runs of last trainings do all that a search's do."""

import math

import pytest

from rebnn_search.tracking import catch_up
from rebnn_search.tracking.refits import RefitRuns
from rebnn_search.tracking.runs import Point, Runs


def test_a_refit_s_run_is_made_once_and_takes_points_again(tracking_uri: str) -> None:
    search = Runs(tracking_uri, "space", "0" * 32)
    search.ensure_parent("s", {})
    points = [Point(step, 1000 * step, {"train/loss": 1.0 / step}) for step in (1, 2, 3)]
    for _ in range(2):
        runs = RefitRuns(tracking_uri, search.parent_id, "key")
        run_id = runs.ensure_child(0, "seed 0", {"seed": 0})
        runs.log(run_id, points)
        runs.end(run_id, "COMPLETE", {}, {"test/top1": 90.0})
    assert runs.children == {0: run_id} and runs.is_ended(0, "COMPLETE")
    assert [point.step for point in runs.client.get_metric_history(run_id, "train/loss")] == [1, 2, 3]
    assert Runs(tracking_uri, "space", "0" * 32).children == {}, "no trial of the search"


def test_one_whose_answer_was_lost_is_found_again(tracking_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    search = Runs(tracking_uri, "space", "0" * 32)
    search.ensure_parent("s", {})
    runs = RefitRuns(tracking_uri, search.parent_id, "key")
    create = runs.client.create_run

    def unanswered(*args: object, **options: object) -> object:
        create(*args, **options)
        raise ConnectionError("the answer was lost")

    monkeypatch.setattr(runs.client, "create_run", unanswered)
    with pytest.raises(ConnectionError):
        runs.ensure_child(0, "seed 0", {})
    monkeypatch.setattr(runs.client, "create_run", create)
    run_id = runs.ensure_child(0, "seed 0", {})
    assert RefitRuns(tracking_uri, search.parent_id, "key").children == {0: run_id}
    assert len(runs.client.search_runs([runs.experiment_id])) == 2, "the parent's and one"


def test_one_that_tells_of_a_lost_machine_s_reports_is_made_anew_and_of_two_one_is_kept(tracking_uri: str) -> None:
    search = Runs(tracking_uri, "space", "0" * 32)
    search.ensure_parent("s", {})
    runs = RefitRuns(tracking_uri, search.parent_id, "key")
    lost = runs.ensure_child(0, "seed 0", {})
    runs.log(lost, [Point(1, 1000, {"train/loss": 1.0})])
    twice = runs.client.create_run(runs.experiment_id, tags=runs.own_tags(0)).info.run_id
    again = RefitRuns(tracking_uri, search.parent_id, "key")
    assert (again.children, again.doubles) == ({0: lost}, [twice])
    catch_up(again, 0, "seed 0", {}, [Point(1, 9000, {"train/loss": 1.0})], "train/loss")
    made = again.children[0]
    assert again.times(made, "train/loss") == {1: {9000}}
    assert RefitRuns(tracking_uri, search.parent_id, "key").children == {0: made}
    assert {run_id: runs.client.get_run(run_id).info.lifecycle_stage for run_id in (lost, twice)} == {
        lost: "deleted", twice: "deleted",
    }  # fmt: skip


def test_the_last_refit_s_numbers_are_those_of_the_search(tracking_uri: str) -> None:
    search = Runs(tracking_uri, "space", "0" * 32)
    search.ensure_parent("s", {})
    runs = RefitRuns(tracking_uri, search.parent_id, "key")

    def there() -> dict[str, float]:
        return dict(runs.client.get_run(search.parent_id).data.metrics)

    five = {"refit/test_top1": 90.0, "refit/test_top1_interval": 0.5, "refit/trial": 7.0}
    three = {"refit/test_top1": 80.0, "refit/test_top1_interval": 2.0, "refit/trial": 3.0}
    for metrics in (five, three):
        runs.sum_up(metrics)
        assert there() == metrics
    one = {**three, "refit/test_top1": 85.0, "refit/test_top1_interval": math.nan}
    for _ in range(2):  # saying it twice changes nothing
        runs.sum_up(one)
        assert there() == pytest.approx(one, nan_ok=True)
        histories = {name: [point.value for point in runs.client.get_metric_history(search.parent_id, name)] for name in one}
        assert histories["refit/test_top1"] == [90.0, 80.0, 85.0] and histories["refit/trial"] == [7.0, 3.0]
        assert len(histories["refit/test_top1_interval"]) == 3


def test_of_one_seed_there_is_no_interval(tracking_uri: str) -> None:
    search = Runs(tracking_uri, "space", "0" * 32)
    search.ensure_parent("s", {})
    runs = RefitRuns(tracking_uri, search.parent_id, "key")
    runs.sum_up({"refit/test_top1": 90.0, "refit/test_top1_interval": math.nan})
    assert runs.client.get_run(search.parent_id).data.metrics == {"refit/test_top1": 90.0}
