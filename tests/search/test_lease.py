"""Two drivers and one lease: real processes against a real S3 server, and on a disk."""

import json
import multiprocessing
import os
import signal
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from pyarrow import fs
from support.forked import CONTEXT, begun
from werkzeug.serving import make_server

from rebnn_search.config import Notice, UserError
from rebnn_search.storage import conditional_write as conditional_module
from rebnn_search.storage.conditional_write import Compared, Versioned, conditional
from rebnn_search.storage.fetch import JOURNAL
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.storage.lease import DOUBT_SECONDS, LEASE, Lease, LeaseLost
from rebnn_search.storage.object_store import ObjectStore
from rebnn_search.storage.process_name import Seen, look_for, own_name
from rebnn_search.storage.remote_sync import RemoteSync


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    pytest.importorskip("obstore")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    # One request at a time: moto looks and writes in two steps, S3 in one.
    server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    options = f"endpoint_override=127.0.0.1:{server.server_port}&scheme=http"
    bucket = f"bucket-{uuid.uuid4().hex}"
    fs.FileSystem.from_uri(f"s3://{bucket}?{options}&allow_bucket_creation=true")[0].create_dir(bucket)
    yield f"s3://{bucket}/searches/s-1?{options}"
    server.shutdown()
    server.server_close()


@pytest.fixture(params=["s3", "file"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(request.getfixturevalue("bucket")) if request.param == "s3" else (tmp_path / "store" / "s-1").as_uri()


def owner(alive: float = 0.0) -> bytes:
    return json.dumps({"pid": 7, "host": "elsewhere", "since": "noon", "alive": alive}).encode()


def test_an_object_is_written_only_over_what_was_seen(uri: str) -> None:
    objects = conditional(ObjectStore(uri))
    assert objects.gap is None
    assert objects.get("x") is None
    first = objects.put("x", b"1", None)
    assert first is not None and objects.put("x", b"2", None) is None
    second = objects.put("x", b"3", first)
    assert second is not None and objects.put("x", b"4", first) is None
    assert objects.get("x") == (b"3", second)
    ObjectStore(uri).delete("x")
    assert objects.put("x", b"5", second) is None and objects.get("x") is None


def race(uri: str, barrier: Barrier, results: "multiprocessing.Queue[str]") -> None:
    for _ in range(2):
        lease = Lease(ObjectStore(uri), "s-1")
        get, looked = lease.objects.get, [False]

        def together(name: str, get: Any = get, looked: list[bool] = looked) -> Any:
            found = get(name)
            if not looked[0]:
                looked[0] = True
                barrier.wait(60)  # all have seen it free; now each goes for it
            return found

        lease.objects.get = together  # type: ignore[method-assign]
        try:
            lease.take()
        except UserError as error:
            results.put(str(error))
        else:
            results.put("taken")
        barrier.wait(60)  # nobody is dead before all have tried
        barrier.wait(60)


def test_of_drivers_that_all_see_it_free_one_gets_it(uri: str) -> None:
    barrier, results = CONTEXT.Barrier(3), CONTEXT.Queue()
    racers = [begun(race, uri, barrier, results) for _ in range(2)]
    for _ in ("nobody's", "a dead driver's"):
        barrier.wait(120)
        said = sorted([results.get(timeout=60), results.get(timeout=60)], key=len)
        assert said[0] == "taken" and "is being driven by process" in said[1], said
        barrier.wait(60)
        ObjectStore(uri).write(LEASE, owner())
        barrier.wait(60)
    for racer in racers:
        racer.join()


def test_the_second_is_refused_while_the_first_lives_and_may_follow_a_dead_one(uri: str) -> None:
    store = ObjectStore(uri)
    store.write(LEASE, owner(time.time()))
    with pytest.raises(UserError, match="driven by process 7 on elsewhere since noon"):
        Lease(store, "s-1").take()
    store.write(LEASE, owner(time.time() - DOUBT_SECONDS - 1))
    lease = Lease(store, "s-1")
    lease.take()
    assert json.loads(store.read(LEASE) or b"")["host"] == socket.gethostname()
    lease.renew()
    lease.release()
    assert store.read(LEASE) is None


@pytest.mark.parametrize("alive", [True, False])
def test_one_elsewhere_by_whose_clock_it_is_a_minute_earlier_is_watched_before_it_is_taken_for_dead(
    uri: str, alive: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rebnn_search.storage.lease.POLL_SECONDS", 0.01)
    monkeypatch.setattr("rebnn_search.storage.lease.WATCH_SECONDS", 30.0 if alive else 0.1)
    store = ObjectStore(uri)
    store.write(LEASE, owner(time.time() - 70))
    lease = Lease(store, "s-1")
    read = lease._read

    def read_and_beat() -> Any:
        found = read()
        if alive:
            store.write(LEASE, owner(time.time() - 69))
        return found

    lease._read = read_and_beat  # type: ignore[method-assign]
    with pytest.warns(Notice, match="s-1: waiting up to .* s for a sign of process 7 on elsewhere since noon$"):
        if alive:
            with pytest.raises(UserError, match="being driven by process 7 on elsewhere"):
                lease.take()
        else:
            lease.take()


def test_of_two_containers_with_one_host_name_the_second_waits_for_a_sign_of_the_first(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both may be process 1 of their host, so that neither sees whether the other is alive."""
    monkeypatch.setattr("rebnn_search.storage.lease.POLL_SECONDS", 0.01)
    store, there = ObjectStore(uri), {**own_name(), "space": "of another container"}
    beats = iter(range(1, 1000))

    def beat() -> None:
        store.write(LEASE, json.dumps({**there, "since": "noon", "alive": time.time() + next(beats)}).encode())

    beat()
    lease = Lease(store, "s-1")
    read = lease._read

    def read_and_beat() -> Any:
        found = read()
        beat()
        return found

    lease._read = read_and_beat  # type: ignore[method-assign]
    with (
        pytest.warns(Notice, match="s-1: waiting up to .* s for a sign of process"),
        pytest.raises(UserError, match="being driven"),
    ):
        lease.take()
    monkeypatch.setattr("rebnn_search.storage.lease.STALE_SECONDS", 3.0)
    store.write(LEASE, json.dumps({**there, "since": "noon", "alive": time.time()}).encode())
    silent = Lease(store, "s-1")
    with pytest.warns(Notice, match=r"waiting up to [0-3] s"):
        silent.take()
    silent.renew()


def test_a_process_is_told_from_another_with_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    name = own_name()
    assert look_for(name) == Seen.ALIVE
    assert look_for({**name, "began": 1.0}) == Seen.DEAD
    assert look_for({**name, "pid": 2**22 + 1}) == Seen.DEAD
    for changed in ({"space": "x"}, {"host": "x"}, {"pid": "x"}):
        assert look_for({**name, **changed}) == Seen.UNKNOWN
    old = {key: name[key] for key in ("pid", "host")}
    assert look_for(old) == Seen.UNKNOWN  # maybe a container's that was started again
    assert look_for({**old, "pid": os.getppid()}) == Seen.ALIVE
    assert look_for({}) == Seen.UNKNOWN


def test_one_that_was_taken_for_dead_learns_so_and_writes_nothing(uri: str, tmp_path: Path) -> None:
    store = ObjectStore(uri)
    first = Lease(store, "s-1")
    first.take()
    store.write(LEASE, owner(time.time()))
    with pytest.raises(LeaseLost, match="process 7 on elsewhere"):
        first.renew()
    first.release()
    assert store.read(LEASE) is not None, "it is another's"


def test_a_lease_removed_by_hand_is_written_again(uri: str) -> None:
    store = ObjectStore(uri)
    lease = Lease(store, "s-1")
    lease.take()
    store.delete(LEASE)
    lease.renew()
    assert store.read(LEASE) is not None
    store.write(LEASE, b"\xffno JSON")
    with pytest.raises(LeaseLost):
        lease.renew()
    other = Lease(store, "s-1")
    other.take()  # nobody's


def test_a_driver_that_lost_its_lease_ends_and_leaves_the_other_s_journal_alone(uri: str, tmp_path: Path) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts in the background ignores it, tests too
    store = ObjectStore(uri)
    folder = SearchFolder(tmp_path / "s-1", uri)
    folder.path.mkdir()
    folder.journal.write_bytes(b"1\n")
    with pytest.raises(UserError, match="taken the search over") as told, RemoteSync(folder, 1) as sync:
        store.write(LEASE, owner(time.time()))
        store.write(f"{JOURNAL}/{2:015d}", b"other\n")
        with folder.journal.open("ab") as file:
            file.write(b"mine\n")
        sync._thread.join(60)  # the main thread is interrupted when it finds out
        raise AssertionError("it never did")
    assert isinstance(told.value.__cause__, KeyboardInterrupt)
    assert store.read(f"{JOURNAL}/{2:015d}") == b"other\n"
    assert json.loads(store.read(LEASE) or b"")["pid"] == 7


def test_a_segment_whose_answer_was_lost_is_no_other_driver_s(uri: str, tmp_path: Path) -> None:
    folder = SearchFolder(tmp_path / "s-1", uri)
    folder.path.mkdir()
    folder.journal.write_bytes(b"1\n")
    store = ObjectStore(uri)
    with RemoteSync(folder, 1) as sync:
        store.write(f"{JOURNAL}/{2:015d}", b"2\n")
        with folder.journal.open("ab") as file:
            file.write(b"2\n3\n")
        sync.send()
        sync.send()
    assert [store.read(f"{JOURNAL}/{name}") for name in store.names(JOURNAL)] == [b"1\n", b"2\n", b"3\n"]


def test_without_obstore_the_gap_is_told(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(conditional_module, "find_spec", lambda name: None)
    folder = SearchFolder(tmp_path / "s-1", bucket)
    folder.path.mkdir()
    with RemoteSync(folder, 1), pytest.raises(UserError, match="is being driven by"):
        Lease(ObjectStore(bucket), "s-1").take()
    told = capsys.readouterr().err
    assert "cannot keep out a second driver" in told and 'pip install "rebnn-search[store]"' in told


def test_a_store_that_takes_conditions_and_does_not_heed_them_is_found_out(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ObjectStore(bucket)
    put: Callable[..., object] = Versioned.put

    def heedless(self: Versioned, name: str, content: bytes, expected: object) -> object:
        store.delete(name)
        return put(self, name, content, None)

    monkeypatch.setattr(Versioned, "put", heedless)
    lease = Lease(store, "s-1")
    lease.take()
    assert lease.gap == "the store does not heed conditions"
    lease.renew()


def test_conditions_of_other_stores(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("obstore")
    found = conditional(ObjectStore("s3://key:secret@bucket/x?region=eu-central-1"))
    assert isinstance(found, Versioned)
    found = conditional(ObjectStore("s3://key:secret@bucket/x?region=eu-central-1&tls_verify_certificates=false"))
    assert isinstance(found, Compared) and "tls_verify_certificates" in str(found.gap)


def test_a_lease_lost_while_the_driver_is_ending_is_told_and_no_interrupt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rebnn_search.storage.remote_sync.POLL_SECONDS", 0.01)
    folder = SearchFolder(tmp_path / "here", (tmp_path / "store" / "s-1").as_uri())
    folder.path.mkdir()
    at_work, ending = threading.Event(), threading.Event()
    with (
        pytest.raises(UserError, match="process 7 on elsewhere since noon has taken the search over"),
        RemoteSync(folder, 1) as sync,
    ):

        def send() -> None:
            at_work.set()
            assert ending.wait(60)
            raise LeaseLost("process 7 on elsewhere since noon")

        monkeypatch.setattr(sync, "_send", send)
        assert at_work.wait(60)
        join = sync._thread.join

        def join_and_let_it_find_out() -> None:
            ending.set()
            join()

        monkeypatch.setattr(sync._thread, "join", join_and_let_it_find_out)
