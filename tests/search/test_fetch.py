"""A search's working copy and an object store that differ in every way they can: nothing that only the copy has is removed."""

import signal
from pathlib import Path
from typing import Any

import pytest

from rebnn_search.config import UserError
from rebnn_search.storage.fetch import ASIDE, JOURNAL, fetch_index, fetch_search
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.storage.lock import DriverLock
from rebnn_search.storage.object_store import ObjectStore, place_in, working_copy
from rebnn_search.storage.remote_sync import RemoteSync

IN_DATABASE = "source: s.yaml\nledger: postgresql://host/optuna\nsearch: {trials: 2}\n"
IN_JOURNAL = "source: s.yaml\nsearch: {trials: 2}\n"


def reports(count: int, at: str = "here") -> str:
    return "".join(f'{{"step": {step}, "timestamp": "{at}"}}\n' for step in range(1, count + 1))


class Both:
    """A search ``s-1`` in a store and in the working copy."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.store = ObjectStore(place_in(uri, "s-1"))
        self.folder = SearchFolder(working_copy(uri) / "s-1", place_in(uri, "s-1"))

    def there(self, files: dict[str, str], journal: str = "") -> None:
        for name, content in files.items():
            self.store.write(name, content.encode())
        if journal:
            self.store.write(f"{JOURNAL}/{0:015d}", journal.encode())

    def here(self, files: dict[str, str], journal: str = "") -> None:
        for name, content in files.items() | ({("study.journal", journal)} if journal else set()):
            (self.folder.path / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder.path / name).write_text(content, encoding="utf-8")

    def fetch(self) -> None:
        fetch_index(self.uri)
        fetch_search(self.folder)

    def content(self, name: str) -> str | None:
        file = self.folder.path / name
        return file.read_text(encoding="utf-8") if file.exists() else None

    def aside(self, name: str) -> str | None:
        file = working_copy(self.uri) / ASIDE / "s-1-1" / name
        return file.read_text(encoding="utf-8") if file.exists() else None


@pytest.fixture
def both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Both:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Both((tmp_path / "store").as_uri())


ONE, TWO = "trials/0000/reports.jsonl", "trials/0001/reports.jsonl"


def test_a_database_ledger_s_unsent_reports_stay(both: Both) -> None:
    both.there({"search.yaml": IN_DATABASE, ONE: reports(3)})
    both.here({"search.yaml": IN_DATABASE, ONE: reports(5), TWO: reports(1), "trials/0000/checkpoints/00000005.pt": "weights"})
    both.fetch()
    assert (both.content(ONE), both.content(TWO)) == (reports(5), reports(1))
    assert both.content("trials/0000/checkpoints/00000005.pt") == "weights"


def test_a_database_ledger_s_reports_are_joined_of_both_places(both: Both) -> None:
    both.there({"search.yaml": IN_DATABASE, ONE: reports(8, "there"), "trials/0002/reports.jsonl": reports(1)})
    both.here({"search.yaml": IN_DATABASE, ONE: reports(5), TWO: reports(4), "result.json": "{}"})
    both.fetch()
    assert (both.content(ONE), both.content(TWO)) == (reports(8, "there"), reports(4))
    assert both.content("trials/0002/reports.jsonl") == reports(1)
    assert both.content("result.json") is None, "it went on elsewhere, so it is not finished"
    assert both.aside("search.yaml") is None


def test_a_torn_report_does_not_count(both: Both) -> None:
    both.there({"search.yaml": IN_DATABASE, ONE: reports(3, "there")})
    both.here({"search.yaml": IN_DATABASE, ONE: reports(2) + '{"step": 3, "timest' + " " * 100})
    both.fetch()
    assert both.content(ONE) == reports(3, "there")


def test_a_journal_never_sent_stays(both: Both) -> None:
    both.there({"search.yaml": IN_JOURNAL})
    both.here({"search.yaml": IN_JOURNAL, ONE: reports(2)}, journal="1\n2\n")
    both.fetch()
    assert (both.content("study.journal"), both.content(ONE)) == ("1\n2\n", reports(2))


def test_a_copy_ahead_stays_and_gets_what_it_has_lost(both: Both) -> None:
    both.there({"search.yaml": IN_JOURNAL, "result.json": "{}", ONE: reports(3), TWO: reports(2)}, journal="1\n2\n")
    both.here({"search.yaml": IN_JOURNAL + "# 200 trials\n", ONE: reports(4)}, journal="1\n2\n3\n{tor")
    both.fetch()
    assert both.content("study.journal") == "1\n2\n3\n{tor"
    assert (both.content(ONE), both.content(TWO)) == (reports(4), reports(2))
    assert both.content("search.yaml") == IN_JOURNAL + "# 200 trials\n"
    assert both.content("result.json") is None, "it was being enlarged here"


def test_a_result_that_was_never_sent_stays(both: Both) -> None:
    both.there({"search.yaml": IN_JOURNAL, ONE: reports(2)}, journal="1\n2\n")
    both.here({"search.yaml": IN_JOURNAL, ONE: reports(3), "result.json": "{}", "best.yaml": "mine"}, journal="1\n2\n3\n")
    both.fetch()
    assert (both.content("result.json"), both.content("best.yaml")) == ("{}", "mine")


def test_a_store_ahead_is_taken_with_its_times_and_the_copy_s_checkpoints_stay(both: Both) -> None:
    both.there({"search.yaml": IN_JOURNAL + "# 200 trials\n", ONE: reports(3, "there"), TWO: reports(2)}, journal="1\n2\n3\n")
    both.here({"search.yaml": IN_JOURNAL, ONE: reports(3), "result.json": "{}", "best.yaml": "old", "stage_one/x": "kept"},
              journal="1\n2\n{torn")  # fmt: skip
    both.fetch()
    assert both.content("study.journal") == "1\n2\n3\n"
    assert (both.content(ONE), both.content(TWO)) == (reports(3, "there"), reports(2))
    assert both.content("search.yaml") == IN_JOURNAL + "# 200 trials\n"
    assert both.content("result.json") is None and both.content("stage_one/x") == "kept"
    assert both.aside("search.yaml") is None


@pytest.mark.parametrize(
    ("journal", "here"), [("1\n2\nother\n", {ONE: reports(3)}), ("1\n2\n", {ONE: reports(9)}), ("", {ONE: reports(9)})]
)
def test_a_copy_that_went_another_way_is_set_aside_whole(
    both: Both, journal: str, here: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    both.there({"search.yaml": IN_JOURNAL, ONE: reports(3, "there")}, journal="1\n2\n3\n")
    both.here({"search.yaml": IN_JOURNAL, **here, "trials/0000/checkpoints/00000009.pt": "weights"}, journal=journal)
    both.fetch()
    assert (both.content("study.journal"), both.content(ONE)) == ("1\n2\n3\n", reports(3, "there"))
    assert both.content("trials/0000/checkpoints/00000009.pt") is None, "of another trial, perhaps"
    assert both.aside(ONE) == here[ONE] and (both.aside("study.journal") or "") == journal
    assert both.aside("trials/0000/checkpoints/00000009.pt") == "weights"
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and ASIDE in told
    both.fetch()
    assert capsys.readouterr().err == ""


def test_a_copy_at_work_is_not_set_aside(both: Both) -> None:
    both.there({"search.yaml": IN_JOURNAL}, journal="1\n2\n3\n")
    both.here({"search.yaml": IN_JOURNAL}, journal="1\nother\n")
    with DriverLock(both.folder), pytest.raises(UserError, match="is being driven by process"):
        both.fetch()
    assert both.content("study.journal") == "1\nother\n"


def test_an_empty_machine_gets_everything(both: Both) -> None:
    files = {"search.yaml": IN_JOURNAL, "result.json": "{}", ONE: reports(3), "refit/2/reports.jsonl": reports(1)}
    both.there(files, journal="1\n")
    both.fetch()
    assert {name: both.content(name) for name in files} == files and both.content("study.journal") == "1\n"


def test_last_trainings_made_elsewhere_are_taken_and_those_made_here_stay(both: Both) -> None:
    both.there({"search.yaml": IN_JOURNAL, "refit/1/reports.jsonl": reports(4), "refit/refit.json": "there"}, journal="1\n")
    both.here({"search.yaml": IN_JOURNAL, "refit/1/reports.jsonl": reports(2), "refit/refit.json": "here"}, journal="1\n")
    both.fetch()
    assert (both.content("refit/1/reports.jsonl"), both.content("refit/refit.json")) == (reports(4), "there")
    both.here({"refit/2/reports.jsonl": reports(4), "refit/refit.json": "here"})
    both.fetch()
    assert (both.content("refit/2/reports.jsonl"), both.content("refit/refit.json")) == (reports(4), "here")


def test_a_search_that_the_store_does_not_know_stays(both: Both) -> None:
    both.here({"search.yaml": IN_JOURNAL}, journal="1\n")
    fetch_index(both.uri)
    assert both.content("study.journal") == "1\n"


def test_killed_while_fetching_is_fetched_by_the_next(both: Both) -> None:
    files = {"search.yaml": IN_JOURNAL, ONE: reports(3, "there"), TWO: reports(2, "there"), "best.yaml": "best"}
    both.there(files, journal="1\n2\n3\n")
    both.here({"search.yaml": IN_JOURNAL, ONE: reports(3, "there"), TWO: reports(1)}, journal="1\n")  # one of two taken
    both.fetch()
    assert {name: both.content(name) for name in files} == files and both.aside("search.yaml") is None


def test_what_was_recorded_elsewhere_between_fetch_and_start_is_not_overwritten(both: Both) -> None:
    both.there({"search.yaml": IN_DATABASE, ONE: reports(3)})
    both.fetch()
    both.there({ONE: reports(5)})
    with pytest.raises(UserError, match="run the same command again"), RemoteSync(both.folder, 1):
        pass
    assert both.store.read(ONE) == reports(5).encode() and both.store.read("driver.json") is None
    both.fetch()
    with RemoteSync(both.folder, 1):
        pass
    assert both.store.read(ONE) == reports(5).encode()


@pytest.mark.slow(minutes=1.5)
def test_a_killed_search_with_a_database_ledger_goes_on_with_reports_that_were_never_sent(
    workplace: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    uri = (tmp_path / "store").as_uri()
    where = ("--storage", uri, "--ledger", f"sqlite:///{tmp_path}/study.db", "--name", "s-1", "--trials", "2",
             "--set", "resources={max_concurrent: 1}", "--set", "pruner.name=none")  # fmt: skip
    process = workplace.start(*where)
    assert process.stdout is not None
    for line in process.stdout:
        if "[1/2]" in line:
            break
    process.send_signal(signal.SIGKILL)
    process.communicate()
    both = Both(uri)
    both.store.delete(ONE)  # it was away
    result = workplace.json(*where, "--resume")
    assert [trial["state"] for trial in result["trials"]] == ["COMPLETE", "COMPLETE"]
    for name in (ONE, TWO):
        here = both.content(name) or ""
        assert here.count("\n") == 8 and both.store.read(name) == here.encode()


def test_a_trace_that_the_driver_here_put_away_does_not_come_back(both: Both) -> None:
    """Or the next death of that trial's worker would be told by it."""
    trace = "trials/0000/error.txt"
    both.there({"search.yaml": IN_DATABASE, ONE: reports(3), trace: "long ago"})
    both.here({"search.yaml": IN_DATABASE, ONE: reports(4)})
    both.fetch()
    assert both.content(trace) is None
    both.there({TWO: reports(1)})
    both.fetch()
    assert both.content(trace) == "long ago", "it went on elsewhere"
