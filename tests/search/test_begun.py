"""A search that was stopped before its first trial is in nobody's way."""

import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from rebnn_search.config import UserError
from rebnn_search.execution.controller import Controller
from rebnn_search.execution.events import SearchObserver
from rebnn_search.execution.opening import open_search
from rebnn_search.execution.serial import SerialExecutor
from rebnn_search.storage.begun import clear_leftover, has_begun, is_leftover, removed_unless_begun
from rebnn_search.storage.find import find_folder
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.storage.lock import DriverLock
from rebnn_search.study.ledger import Ledger
from rebnn_search.study.load import load_search
from rebnn_search.study.search import Search

SPACE = Path(__file__).parents[2] / "search_spaces" / "gamma.yaml"


@pytest.fixture(scope="module")
def search() -> Search:
    return load_search(SPACE)


def begin(folder: SearchFolder, search: Search, trials: int, url: str | None = None) -> None:
    """What a driver leaves that ended after so many questions."""
    folder.path.mkdir(parents=True)
    ledger = Ledger(folder, search, url)
    folder.write_search(SPACE.name, search.dump(), url, ledger.search_id)
    for _ in range(trials):
        ledger.ask()


def test_only_a_search_that_asked_for_a_trial_counts_as_unfinished(tmp_path: Path, search: Search) -> None:
    begun, empty = SearchFolder(tmp_path / "gamma-1"), SearchFolder(tmp_path / "gamma-2")
    begin(begun, search, 1)
    begin(empty, search, 0)
    assert has_begun(begun)
    assert is_leftover(empty)
    new = find_folder(str(tmp_path), SPACE.name, None)
    assert (new.resumed, new.unfinished, new.folder.name) == (False, ["gamma-1"], "gamma-3")
    assert find_folder(str(tmp_path), SPACE.name, None, resume=True).folder.name == "gamma-1"
    assert find_folder(str(tmp_path), SPACE.name, None, or_start=True).folder.name == "gamma-1"
    assert find_folder(str(tmp_path), SPACE.name, "gamma-1", or_start=True).resumed
    with pytest.raises(UserError, match="already holds a search"):
        find_folder(str(tmp_path), SPACE.name, "gamma-1")


def test_the_name_of_a_leftover_is_free(tmp_path: Path, search: Search) -> None:
    folder = SearchFolder(tmp_path / "mine")
    begin(folder, search, 0)
    for choice in ({}, {"or_start": True}):
        found = find_folder(str(tmp_path), SPACE.name, "mine", **choice)
        assert (found.resumed, found.unfinished, found.folder) == (False, [], folder)
    clear_leftover(folder)
    assert not folder.search_file.exists()
    assert not folder.journal.exists()
    assert Ledger(folder, search).asked == 0


def test_a_leftover_s_study_in_a_database_gives_way_and_another_s_does_not(tmp_path: Path, search: Search) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    begin(SearchFolder(tmp_path / "a" / "mine"), search, 0, url)
    begin(SearchFolder(tmp_path / "b" / "mine"), search, 1, url)
    with pytest.raises(UserError, match="already holds a study named mine"):
        begin(SearchFolder(tmp_path / "c" / "mine"), search, 0, url)


@pytest.mark.parametrize("damage", [b"", b"{\n"], ids=["emptied", "torn"])
def test_what_cannot_be_told_from_a_search_is_kept(tmp_path: Path, search: Search, damage: bytes) -> None:
    folder = SearchFolder(tmp_path / "mine")
    begin(folder, search, 1)
    (folder.path / "trials" / "0000").mkdir(parents=True)
    folder.journal.write_bytes(damage)
    assert has_begun(folder)


def test_a_mistake_takes_the_new_folder_with_it_and_nothing_else(tmp_path: Path, search: Search) -> None:
    folder = SearchFolder(tmp_path / "results" / "mine")

    def fail(trials: int) -> None:
        with pytest.raises(UserError), removed_unless_begun(folder):
            if not folder.path.exists():
                begin(folder, search, trials)
            raise UserError("no")

    fail(0)
    assert not folder.path.parent.exists()
    fail(1)
    assert folder.search_file.exists()
    fail(0)
    assert folder.search_file.exists()


def test_a_driver_that_is_refused_leaves_the_other_s_folder_alone(tmp_path: Path, search: Search) -> None:
    folder = SearchFolder(tmp_path / "results" / "mine")
    with ExitStack() as other:
        with pytest.raises(UserError, match="is being driven by"), removed_unless_begun(folder):
            begin(folder, search, 0)  # the other, after this one has looked
            other.enter_context(DriverLock(folder))
            with DriverLock(folder):
                pass
        assert folder.search_file.exists() and folder.journal.exists()


def test_a_search_that_ends_in_an_error_sends_nothing_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its driver has left, and the one that resumes it may be sending by then."""

    class Breaks(SerialExecutor):
        def run(self, controller: Controller) -> None:
            raise RuntimeError("the cluster is gone")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("rebnn_search.execution.parent_run.ABANDON_SECONDS", 60.0)
    before = set(threading.enumerate())
    with pytest.raises(RuntimeError, match="the cluster is gone"):
        open_search(SPACE, executor=Breaks).run(SearchObserver())
    assert [thread.name for thread in set(threading.enumerate()) - before if thread.name == "tracker"] == []
