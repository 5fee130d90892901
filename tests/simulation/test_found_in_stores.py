"""What the simulation found of searches in an object store, each by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rebnn_search.base.errors import UserError
from rebnn_search.storage.fetch import JOURNAL, fetch_search, read_journal
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.storage.lease import LEASE, STALE_SECONDS, Lease, LeaseLost
from rebnn_search.storage.leftovers import set_aside
from rebnn_search.storage.object_store import ObjectStore
from rebnn_search.storage.remote_sync import RemoteSync


@pytest.fixture
def remote(tmp_path: Path) -> tuple[SearchFolder, ObjectStore]:
    """A search's working copy, and its place in a store."""
    uri = (tmp_path / "store" / "s").as_uri()
    folder = SearchFolder(tmp_path / "copy" / "s", uri)
    folder.path.mkdir(parents=True)
    return folder, ObjectStore(uri)


def test_a_driver_that_slept_while_another_came_and_went_does_not_go_on(remote: tuple[SearchFolder, ObjectStore]) -> None:
    lease = Lease(remote[1], "s")
    lease.take()
    remote[1].delete(LEASE)
    lease.renew()  # by hand: nobody can have taken it yet
    remote[1].delete(LEASE)
    lease._beat -= STALE_SECONDS + 1
    with pytest.raises(LeaseLost):
        lease.renew()
    assert remote[1].read(LEASE) is None


def test_a_segment_of_a_driver_that_was_taken_for_dead_is_passed_over(remote: tuple[SearchFolder, ObjectStore]) -> None:
    for offset, content in ((0, b"1\n2\n3\n"), (2, b"2\nmine\n"), (4, b"3\n4\n")):
        remote[1].write(f"{JOURNAL}/{offset:015d}", content)
    assert read_journal(remote[1]) == b"1\n2\n3\n4\n"


LINE, OTHER, TRIAL = b'{"op_code":2}\n', b'{"op_code":2,"new":true}\n', b'{"op_code":4}\n'


def test_what_was_sent_of_a_search_that_never_was_one_is_in_nobody_s_way(remote: tuple[SearchFolder, ObjectStore]) -> None:
    folder, store = remote
    for offset in (0, len(LINE), 2 * len(LINE)):
        store.write(f"{JOURNAL}/{offset:015d}", LINE)
    folder.journal.write_bytes(LINE + b'{"torn')
    with RemoteSync(folder, 1) as sync:
        assert not folder.journal.exists()
        for content in (OTHER, OTHER + TRIAL):
            folder.journal.write_bytes(content)
            folder.search_file.write_text("search", encoding="utf-8")
            sync.send()
            assert read_journal(store) == content
    folder.search_file.unlink()
    store.delete("search.yaml")
    store.write(f"{JOURNAL}/{0:015d}", LINE + TRIAL)
    with pytest.raises(UserError, match="another driver recorded more"), RemoteSync(folder, 1):
        pass
    assert read_journal(store) == LINE + TRIAL


def test_what_was_sent_of_a_search_that_never_was_one_is_no_reason_to_set_another_aside(
    remote: tuple[SearchFolder, ObjectStore],
) -> None:
    folder, store = remote
    store.write(f"{JOURNAL}/{0:015d}", LINE)
    folder.journal.write_bytes(OTHER)
    folder.search_file.write_text("search", encoding="utf-8")  # and its driver died before it sent anything
    fetch_search(folder)
    assert folder.journal.read_bytes() == OTHER and folder.search_file.exists()
    with RemoteSync(folder, 1):
        assert read_journal(store) == OTHER and store.read("search.yaml") == b"search"


@pytest.mark.parametrize(
    ("asleep", "call"),
    [((ObjectStore, "names"), 1), ((Lease, "renew"), 1), ((ObjectStore, "names"), 2), ((ObjectStore, "names"), 3)],
)
def test_a_driver_that_slept_while_another_began_the_search_takes_nothing_from_it(
    remote: tuple[SearchFolder, ObjectStore], monkeypatch: pytest.MonkeyPatch, asleep: tuple[type, str], call: int
) -> None:
    folder, store = remote
    store.write(f"{JOURNAL}/{0:015d}", LINE)
    store.write(f"{JOURNAL}/{len(LINE):015d}", LINE)
    there = {f"{JOURNAL}/{0:015d}": OTHER + TRIAL, f"{JOURNAL}/{len(OTHER + TRIAL):015d}": TRIAL, "search.yaml": b"other"}
    calls, function = [0], getattr(*asleep)

    def sleep(self: Any, *words: Any) -> Any:
        found = function(self, *words)
        calls[0] += 1
        if calls[0] == call:
            store.delete(LEASE)
            sync._lease._beat -= STALE_SECONDS + 1
            store.delete(f"{JOURNAL}/{len(LINE):015d}")
            for name, content in there.items():
                store.write(name, content)
        return found

    monkeypatch.setattr(*asleep, sleep)
    sync = RemoteSync(folder, 1)
    with pytest.raises((UserError, LeaseLost)), sync:
        folder.journal.write_bytes(LINE + LINE + TRIAL)
        folder.search_file.write_text("search", encoding="utf-8")
        sync.send()
    assert calls[0] >= call
    assert {name: store.read(name) for name in there} == there
    assert read_journal(store) == OTHER + TRIAL + TRIAL


def begun_here(folder: SearchFolder, reports: str) -> Path:
    """Write what a search has after its first reports. Returns their file."""
    folder.journal.write_bytes(LINE + TRIAL)
    folder.search_file.write_text("search", encoding="utf-8")
    file = folder.report_file(0)
    file.parent.mkdir(parents=True)
    file.write_text(reports, encoding="utf-8")
    return file


def test_a_driver_that_slept_writes_no_older_report_over_a_newer_one(
    remote: tuple[SearchFolder, ObjectStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, store = remote
    file, name = begun_here(folder, "1\n"), "trials/0000/reports.jsonl"
    with pytest.raises((UserError, LeaseLost)), RemoteSync(folder, 1) as sync:
        put = sync._lease.objects.put

        def sleep(to: str, content: bytes, expected: object) -> object:
            if to == name and store.read(LEASE) is not None:  # another driver came, and has finished the search
                store.delete(LEASE)
                sync._lease._beat -= STALE_SECONDS + 1
                store.write(name, b"1\n2\n3\n")
            return put(to, content, expected)

        monkeypatch.setattr(sync._lease.objects, "put", sleep)
        file.write_text("1\n2\n", encoding="utf-8")
        sync.send()
    assert store.read(name) == b"1\n2\n3\n"


def test_a_driver_that_slept_takes_no_trial_of_another_s_for_a_leftover(remote: tuple[SearchFolder, ObjectStore]) -> None:
    folder, store = remote
    store.write("trials/0000/reports.jsonl", b"1\n")
    store.write(f"{JOURNAL}/{0:015d}", LINE + TRIAL)
    with pytest.raises(UserError, match="another driver recorded more"):
        set_aside(folder, 0)
    assert store.read("trials/0000/reports.jsonl") == b"1\n"
    store.write(f"{JOURNAL}/{0:015d}", LINE)
    set_aside(folder, 0)
    assert store.read("trials/0000/reports.jsonl") is None


def test_a_search_is_one_in_the_store_once_its_record_is_there(
    remote: tuple[SearchFolder, ObjectStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, store = remote
    begun_here(folder, "{}\n")
    written: list[str] = []
    write = ObjectStore.write

    def noted(self: ObjectStore, name: str, content: bytes) -> None:
        written.append(name)
        write(self, name, content)

    monkeypatch.setattr(ObjectStore, "write", noted)
    with RemoteSync(folder, 1):
        pass
    places = [written.index(name) for name in (f"{JOURNAL}/{0:015d}", "search.yaml", "trials/0000/reports.jsonl")]
    assert places == sorted(places)
    assert read_journal(store) == LINE + TRIAL
