"""Searches found by name in a store with much else in it."""

import sqlite3
from contextlib import closing

import pytest

from rebnn_search.tracking import Runs
from rebnn_search.tracking.removal import count_runs
from rebnn_search.tracking.search import find_parent


@pytest.mark.parametrize("name", ["gamma-7", "it's", 'a "b"', "'a' \"b\"", "50%_ä\\x"])
def test_a_search_is_found_by_its_name_whatever_that_is(tracking_uri: str, name: str) -> None:
    runs = Runs(tracking_uri, "shared", "id")
    parent = runs.ensure_parent(name, {})
    for number in range(3):
        runs.ensure_child(number, f"#{number}", {})
    others = Runs(tracking_uri, "shared", "id-of-another")
    others.ensure_parent("other", {})
    assert find_parent(runs.client, name).info.run_id == parent


def test_of_the_trials_of_others_none_is_read(tracking_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    runs, others = Runs(tracking_uri, "mine", "id"), Runs(tracking_uri, "theirs", "id-of-another")
    parent = runs.ensure_parent("gamma-7", {})
    others.ensure_parent("gamma-8", {})
    for number in range(5):
        others.ensure_child(number, f"#{number}", {})
    search, read = runs.client.search_runs, []

    def counted(*args: object, **options: object) -> object:
        found = search(*args, **options)  # type: ignore[arg-type]
        read.extend(found)
        return found

    monkeypatch.setattr(runs.client, "search_runs", counted)
    assert find_parent(runs.client, "gamma-7").info.run_id == parent
    assert [run.info.run_id for run in read] == [parent]


def test_a_search_is_found_beyond_the_first_thousand_experiments(tracking_uri: str) -> None:
    runs = Runs(tracking_uri, "mine", "id")
    parent = runs.ensure_parent("gamma-7", {})
    made = runs.client.get_experiment(runs.experiment_id).creation_time
    with closing(sqlite3.connect(tracking_uri.removeprefix("sqlite:///"))) as database, database:
        database.executemany(
            "insert into experiments (experiment_id, name, lifecycle_stage, creation_time, last_update_time) "
            "values (?, ?, 'active', ?, ?)",
            [(10_000 + n, f"experiment {n}", made + n, made + n) for n in range(1, 1101)],
        )
    assert find_parent(runs.client, "gamma-7").info.run_id == parent
    assert count_runs(tracking_uri, "id") == 1
