"""Searches kept in an object store: a real S3 protocol over HTTP, and the same code on ``file://``."""

import json
import os
import shutil
import signal
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from moto.server import ThreadedMotoServer
from pyarrow import fs

from rebnn_search.config import UserError
from rebnn_search.execution.task import TrialTask
from rebnn_search.storage import object_store
from rebnn_search.storage import remote_sync as sync_module
from rebnn_search.storage.conditional_write import Versioned
from rebnn_search.storage.fetch import JOURNAL, fetch_search
from rebnn_search.storage.find import find_folder
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.storage.lease import LEASE
from rebnn_search.storage.object_store import ObjectStore, StoredCheckpoints, place_in, split_place, working_copy
from rebnn_search.storage.remote_sync import RemoteSync

ALONE = ("--set", "resources={max_concurrent: 1}")


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    options = f"endpoint_override={host}:{port}&scheme=http"
    bucket = f"bucket-{uuid.uuid4().hex}"  # the servers of one process share what they hold
    fs.FileSystem.from_uri(f"s3://{bucket}?{options}&allow_bucket_creation=true")[0].create_dir(bucket)
    yield f"s3://{bucket}/searches?{options}"
    server.stop()


@pytest.fixture(params=["s3", "file"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "file":
        return (tmp_path / "shared storage").as_uri()
    found: str = request.getfixturevalue("bucket")
    return found


def sequence(result: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [(t["number"], t["state"], t["params"], t["val_loss"], t["epochs"]) for t in result["trials"]]


def test_objects_are_whole_listed_and_gone(uri: str) -> None:
    store = ObjectStore(uri)
    assert store.read("a/b") is None and store.names("a") == []
    store.write("a/b", b"1")
    store.write("a/b", b"22")
    store.write("a/c/d", b"3")
    assert store.read("a/b") == b"22"
    assert store.names("a", recursive=True) == ["b", "c/d"] and store.names() == ["a"] and store.names("a") == ["b", "c"]
    store.delete("a/b")
    store.delete("a/b")
    assert store.names("a", recursive=True) == ["c/d"]


def test_a_name_goes_before_the_query() -> None:
    assert place_in("s3://b/x/?region=eu", "s-1") == "s3://b/x/s-1?region=eu"
    assert split_place("s3://b/x/s-1?region=eu") == ("s3://b/x?region=eu", "s-1")


def test_checkpoints_follow_the_trial_to_another_node(uri: str, tmp_path: Path) -> None:
    store = ObjectStore(uri)
    first = StoredCheckpoints(tmp_path / "one", store, "trials/0000/checkpoints")
    for step in (1, 2, 3):
        first.save(step, {"value": step})
    assert store.names("trials/0000/checkpoints") == ["00000002.pt", "00000003.pt"]
    other = StoredCheckpoints(tmp_path / "two", store, "trials/0000/checkpoints")
    assert other.latest() == (3, {"value": 3})
    (tmp_path / "two" / "00000003.pt").write_bytes(b"cut")
    with pytest.warns(UserWarning, match="falling back"):
        assert other.latest() == (2, {"value": 2})


def test_a_store_that_is_away_stops_no_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_store, "PAUSES", ())
    monkeypatch.setattr(object_store, "_reached", set())
    store = ObjectStore((tmp_path / "store").as_uri())
    first = StoredCheckpoints(tmp_path / "one", store, "trials/0000/checkpoints")
    other = StoredCheckpoints(tmp_path / "two", store, "trials/0000/checkpoints")

    def away(*words: object, **options: object) -> Any:
        raise OSError("When listing objects: network connection\nand more")

    with monkeypatch.context() as patch:
        for name in ("names", "write"):
            patch.setattr(ObjectStore, name, away)
        with pytest.raises(OSError, match="network connection"):  # it was never there: who knows that it will be
            first.latest()
    assert first.latest() is None
    first.save(1, {"value": 1})
    with monkeypatch.context() as patch:
        for name in ("names", "write"):
            patch.setattr(ObjectStore, name, away)
        first.save(2, {"value": 2})
        assert first.latest() == (2, {"value": 2}) and other.latest() is None
        assert other.away == "When listing objects: network connection"
    assert other.latest() == (1, {"value": 1}) and other.away is None
    first.save(3, {"value": 3})
    assert other.latest() == (3, {"value": 3})


def test_a_node_s_copies_of_a_removed_search_are_not_the_next_one_s_of_that_name(uri: str, tmp_path: Path) -> None:
    place, name, here = ObjectStore(uri), "trials/0000/checkpoints", tmp_path / "node"
    task = TrialTask(
        number=0, attempt=1, params={"optimizer.lr": 0.01}, recipe={}, last_step=0, folder="", remote=uri, workers=1, threads=1,
        gpus=0, search_id="a",
    )  # fmt: skip
    first = StoredCheckpoints(here, place, name, task.owner)
    for step in (1, 2, 3):
        first.save(step, {"value": f"a{step}"})
    assert StoredCheckpoints(here, place, name, task.owner).latest() == (3, {"value": "a3"})  # as a worker started again
    place.delete_all()
    for other in (replace(task, search_id="b"), replace(task, params={"optimizer.lr": 0.02})):
        second = StoredCheckpoints(here, place, name, other.owner)
        assert second.latest() is None
        assert place.names(name) == []
        second.save(1, {"value": "b1"})
        assert StoredCheckpoints(here, place, name, other.owner).latest() == (1, {"value": "b1"})
        place.delete_all()
    again = replace(other, attempt=2, last_step=1, recipe={"data": "elsewhere"})
    assert again.owner == other.owner  # what is told of an attempt, or of a machine, is no other trial


def test_two_servers_with_buckets_of_one_name_have_two_working_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = (working_copy(f"s3://b/x?endpoint_override=http%3A%2F%2Fminio-{name}") for name in "ab")
    assert len({one, other, working_copy("s3://b/x")}) == 3
    assert working_copy("s3://b/x/?region=eu") == working_copy("s3://b/x")
    assert working_copy("s3://b/x?region=eu&endpoint_override=http%3A%2F%2Fminio-a") == one

    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    with pytest.raises(UserError, match="no home directory for the working copy: set XDG_CACHE_HOME"):
        working_copy("s3://b/x")


def test_the_journal_in_segments_is_the_journal(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync_module, "SEGMENTS", 8)
    monkeypatch.setattr(sync_module, "POLL_SECONDS", 0.001)  # its thread sends as well, at any moment
    folder = SearchFolder(tmp_path / "here", place_in(uri, "s-1"))
    folder.path.mkdir()
    lines = [json.dumps({"op": n, "text": "x" * (n % 40)}).encode() + b"\n" for n in range(20)]
    with RemoteSync(folder, 10) as sync, folder.journal.open("ab") as file:
        for line in lines:
            file.write(line[:-3])
            file.flush()
            sync.send()  # half a line is not sent
            file.write(line[-3:])
            file.flush()
            sync.send()
        names = ObjectStore(folder.remote or "").names(JOURNAL)
        assert 1 < len(names) <= 8, "never joined"
    other = SearchFolder(tmp_path / "there", folder.remote)
    fetch_search(other)
    assert other.journal.read_bytes() == b"".join(lines)


def test_a_segment_sent_while_a_thread_joins_the_others_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync_module, "POLL_SECONDS", 3600.0)
    folder = SearchFolder(tmp_path / "here", place_in((tmp_path / "store").as_uri(), "s-1"))
    folder.path.mkdir()
    folder.journal.write_bytes(b'{"op": 0}\n')
    joining, sent = threading.Event(), threading.Event()
    list_names = ObjectStore.names

    def slow_names(store: ObjectStore, *args: Any, **options: Any) -> list[str]:
        if threading.current_thread().name == "joins":
            joining.set()
            sent.wait(0.5)
        return list_names(store, *args, **options)

    with RemoteSync(folder, 10) as sync, folder.journal.open("ab", buffering=0) as file:
        monkeypatch.setattr(sync_module, "SEGMENTS", 1)
        monkeypatch.setattr(ObjectStore, "names", slow_names)
        file.write(b'{"op": 1}\n')
        thread = threading.Thread(target=sync.send, name="joins")
        thread.start()
        assert joining.wait(60)
        monkeypatch.setattr(sync_module, "SEGMENTS", 8)
        file.write(b'{"op": 2}\n')
        sync.send()
        sent.set()
        thread.join()
    other = SearchFolder(tmp_path / "there", folder.remote)
    fetch_search(other)
    assert other.journal.read_bytes() == folder.journal.read_bytes()


def test_a_copy_that_others_have_left_behind_is_replaced_and_one_ahead_is_kept(uri: str, tmp_path: Path) -> None:
    remote = place_in(uri, "s-1")
    one, two = SearchFolder(tmp_path / "one", remote), SearchFolder(tmp_path / "two", remote)
    one.path.mkdir()
    with RemoteSync(one, 10):
        one.journal.write_bytes(b'{"a": 1}\n')
    one.journal.write_bytes(b'{"a": 1}\n{"unsent": 1}\n')
    fetch_search(one)
    assert b"unsent" in one.journal.read_bytes()
    fetch_search(two)
    with RemoteSync(two, 10), two.journal.open("ab") as file:
        file.write(b'{"elsewhere": 2}\n')
    fetch_search(one)
    assert one.journal.read_bytes() == b'{"a": 1}\n{"elsewhere": 2}\n'


def test_one_driver_at_a_time(uri: str, tmp_path: Path) -> None:
    folder = SearchFolder(tmp_path / "one", place_in(uri, "s-1"))
    folder.path.mkdir()
    store = ObjectStore(folder.remote or "")
    store.write("driver.json", json.dumps({"pid": 7, "host": "elsewhere", "since": "noon", "alive": time.time()}).encode())
    with pytest.raises(UserError, match="driven by process 7 on elsewhere since noon"), RemoteSync(folder, 10):
        pass
    store.write(
        "driver.json", json.dumps({"pid": 7, "host": "elsewhere", "since": "noon", "alive": time.time() - 601}).encode()
    )
    with RemoteSync(folder, 10):
        assert json.loads(store.read("driver.json") or b"")["pid"] == os.getpid()
    assert store.read("driver.json") is None


@pytest.mark.parametrize("wrong", ["nonsense://bucket/x", "s3://"])
def test_no_such_storage_is_a_clear_error(wrong: str) -> None:
    with pytest.raises(UserError, match=r"--storage (nonsense|s3)://"):
        find_folder(wrong, "space.yaml", None)


@pytest.mark.slow(minutes=1.5)
def test_killed_and_resumed_on_a_machine_that_has_only_the_store(  # type: ignore[no-untyped-def]
    bucket: str, workplace, uninterrupted, tmp_path: Path
) -> None:
    workplace.variables = {"XDG_CACHE_HOME": str(tmp_path / "machine one")}
    where = ("--storage", bucket, *ALONE)
    whole = uninterrupted.result()
    process = workplace.start(*where, "--name", "broken")
    for line in process.stdout:
        if "[2/" in line:
            break
    process.send_signal(signal.SIGKILL)
    process.wait()
    store = ObjectStore(place_in(bucket, "broken"))
    assert store.names(JOURNAL)
    store.write("driver.json", b'{"alive": 0}')  # what a minute would do
    shutil.rmtree(tmp_path / "machine one")
    workplace.variables = {"XDG_CACHE_HOME": str(tmp_path / "machine two")}
    broken = json.loads(workplace.run_apart(*where, "--resume", "--json").stdout)
    assert sequence(broken) == sequence(whole)
    assert broken["best"]["test_top1"] == whole["best"]["test_top1"]
    assert json.loads(store.read("result.json") or b"") == broken
    assert store.read("driver.json") is None


def test_a_trace_that_is_put_away_goes_from_the_store_too(uri: str, tmp_path: Path) -> None:
    folder, store = SearchFolder(tmp_path / "s-1", place_in(uri, "s-1")), ObjectStore(place_in(uri, "s-1"))
    folder.trial(0).mkdir(parents=True)
    with RemoteSync(folder, 10) as sync:
        folder.trace_file(0).write_text("it failed", encoding="utf-8")
        sync.send()
        assert store.read("trials/0000/error.txt") == b"it failed"
        folder.trace_file(0).unlink()
        sync.send()
        assert store.read("trials/0000/error.txt") is None


def test_what_is_there_already_is_not_sent_again(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = SearchFolder(tmp_path / "s-1", place_in(uri, "s-1"))
    for number in range(3):
        folder.trial(number).mkdir(parents=True)
        folder.report_file(number).write_text("{}\n", encoding="utf-8")
    with RemoteSync(folder, 10):
        pass
    sent: list[str] = []
    put = ObjectStore.write

    def write(store: ObjectStore, name: str, content: bytes) -> None:
        sent.append(name)
        put(store, name, content)

    monkeypatch.setattr(ObjectStore, "write", write)
    monkeypatch.setattr(
        Versioned, "put", lambda objects, name, *rest, real=Versioned.put: sent.append(name) or real(objects, name, *rest)
    )
    with RemoteSync(folder, 10):
        pass
    assert set(sent) == {LEASE}
    folder.report_file(1).write_text("{}\n{}\n", encoding="utf-8")
    with RemoteSync(folder, 10):
        pass
    assert set(sent) == {LEASE, "trials/0001/reports.jsonl"}


@pytest.mark.parametrize(("error", "free"), [(UserError("no cluster"), True), (KeyboardInterrupt(), True), (OSError(), False)])
def test_a_start_that_fails_before_its_first_trial_leaves_its_name_free(
    uri: str, tmp_path: Path, error: BaseException, free: bool
) -> None:
    folder, store = SearchFolder(tmp_path / "s-1", place_in(uri, "s-1")), ObjectStore(place_in(uri, "s-1"))
    folder.path.mkdir()
    with pytest.raises(type(error)), RemoteSync(folder, 10) as sync:
        folder.write_search("space.yaml", {})
        sync.send()
        assert store.read("search.yaml") is not None
        raise error
    assert (store.read("search.yaml") is None) == free
    with pytest.raises(UserError), RemoteSync(folder, 10):  # begun now, whoever ends it
        folder.trial(0).mkdir(parents=True)
        (folder.trial(0) / "recipe.yaml").touch()
        raise UserError("the disk is full")
    assert store.read("search.yaml") is not None
