"""A search is removed whole or not at all: its folder, its study, its runs, its place in an object store."""

from __future__ import annotations

import json
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from moto.server import ThreadedMotoServer
from pyarrow import fs
from support.commands import call
from support.dying import dies
from support.forked import forked

from rebnn_search.config import UserError
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.storage.lock import DriverLock
from rebnn_search.storage.object_store import ObjectStore, place_in
from rebnn_search.storage.remote_sync import RemoteSync
from rebnn_search.study.attributes import RUNS as RUNS_NOTE
from rebnn_search.study.ledger import Ledger
from rebnn_search.study.overview import cut_off, overviews
from rebnn_search.study.removal import plan_removal, remove_search
from rebnn_search.tracking.client import make_client
from rebnn_search.tracking.refits import RefitRuns
from rebnn_search.tracking.runs import Runs


@pytest.fixture(autouse=True)
def unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda fd: None)


@pytest.fixture(params=["s3", "file"])
def uri(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    if request.param == "file":
        yield (tmp_path / "shared storage").as_uri()
        return
    for name, value in {"ACCESS_KEY_ID": "key", "SECRET_ACCESS_KEY": "secret", "EC2_METADATA_DISABLED": "true"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    bucket, options = f"bucket-{uuid.uuid4().hex}", f"endpoint_override={host}:{port}&scheme=http"
    fs.FileSystem.from_uri(f"s3://{bucket}?{options}&allow_bucket_creation=true")[0].create_dir(bucket)
    yield f"s3://{bucket}/searches?{options}"
    server.stop()


def make(driven: Any, path: Path, name: str = "s", url: str | None = None) -> SearchFolder:
    folder = SearchFolder(path / "results" / name)
    driven.drive(folder, driven.load(path, driven.GAMMA), url)
    return folder


def rm(path: Path, *words: str) -> Any:
    return call("cli.rm", *words, cwd=path)


def test_the_folder_goes_and_the_others_stay(driven: Any, tmp_path: Path) -> None:
    folder, other = make(driven, tmp_path), make(driven, tmp_path, "t")
    done = rm(tmp_path, "s", "--yes")
    assert done.returncode == 0, done.stderr
    assert "s: 10 trials, " in done.stdout and "its runs in MLflow are kept" in done.stdout and "removed s" in done.stdout
    assert not folder.path.exists() and other.search_file.exists()
    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == ["t"]
    make(driven, tmp_path)  # the name is free


def test_nothing_goes_without_a_yes(driven: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make(driven, tmp_path)
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    done = rm(tmp_path, "s")
    assert done.returncode == 2 and "nobody can be asked here: --yes removes without asking" in done.stderr
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda prompt: "")
    assert rm(tmp_path, "s").returncode == 1
    assert folder.search_file.exists()
    monkeypatch.setattr("builtins.input", lambda prompt: "y")
    assert rm(tmp_path, "s").returncode == 0
    assert not folder.path.exists()


def test_one_that_is_driven_is_left_alone(driven: Any, tmp_path: Path) -> None:
    folder = make(driven, tmp_path)
    planned = plan_removal(str(tmp_path / "results"), "s")
    with DriverLock(folder):
        done = rm(tmp_path, "s", "--yes")
        assert done.returncode == 2 and "s is being driven by process" in done.stderr
        with pytest.raises(UserError, match="s is being driven by process"):  # one that began after it was looked for
            remove_search(planned)
    assert folder.search_file.exists() and not list((tmp_path / "results").glob(".removed/*"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("t",), "t: no such search in results; there: s"),
        (("s", "t"), "t: no such search"),
        (("../s",), "name '../s': use letters"),
        (("s", "--ledger", "sqlite:///a.db"), "s: the ledger of this search is its journal: leave --ledger out"),
        (("s", "--tracking-uri", "sqlite:///a.db"), "--tracking-uri: has no use without --tracking"),
        (("s", "--tracking", "--tracking-uri", "sqlite:///a.db"), "--tracking-uri sqlite:///a.db: there is no database"),
    ],
)
def test_a_mistake_removes_nothing(driven: Any, tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    folder = make(driven, tmp_path)
    done = rm(tmp_path, *words, "--yes")
    assert done.returncode == 2 and done.stderr.startswith(f"error: {message}"), done.stderr
    assert folder.search_file.exists() and not (tmp_path / "a.db").exists()
    assert "needs --yes" in rm(tmp_path, "s", "--json").stderr


def test_a_damaged_search_can_be_removed(driven: Any, tmp_path: Path) -> None:
    folder = make(driven, tmp_path)
    folder.search_file.write_text("source: [", encoding="utf-8")
    folder.journal.write_bytes(b"{torn")
    done = rm(tmp_path, "s", "--yes", "--tracking")
    assert done.returncode == 2 and "which runs are its own cannot be known" in done.stderr
    assert rm(tmp_path, "s", "--yes").returncode == 0
    assert not folder.path.exists()


def test_its_study_in_a_database_goes_and_another_s_stays(driven: Any, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    make(driven, tmp_path, url=url)
    make(driven, tmp_path, "t", url)
    done = rm(tmp_path, "s", "--yes")
    assert done.returncode == 0 and f"its study in {url}" in done.stdout, done.stderr
    assert [study.study_name for study in optuna.get_all_study_summaries(url)] == ["t"]
    folder = SearchFolder(tmp_path / "results" / "t")
    folder.write_search("space.yaml", folder.read_search()[1], url, uuid.uuid4().hex)  # the database has another search's
    assert rm(tmp_path, "t", "--yes").returncode == 0
    assert [study.study_name for study in optuna.get_all_study_summaries(url)] == ["t"]


def test_a_database_that_fails_leaves_all(driven: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    folder = make(driven, tmp_path, url=url)
    before = sorted(file.relative_to(tmp_path) for file in folder.path.rglob("*") if "driver" not in file.name)

    def fail(**given: object) -> None:
        raise RuntimeError("the connection was lost")

    monkeypatch.setattr(optuna, "delete_study", fail)
    done = rm(tmp_path, "s", "--yes")
    assert done.returncode == 2 and "cannot be used: RuntimeError the connection was lost" in done.stderr
    assert sorted(file.relative_to(tmp_path) for file in folder.path.rglob("*") if "driver" not in file.name) == before
    assert [study.study_name for study in optuna.get_all_study_summaries(url)] == ["s"]


def test_cut_off_at_any_step_it_goes_on(driven: Any, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    for place in ("rebnn_search.study.removal:_remove_study", "shutil:rmtree"):
        folder = make(driven, tmp_path, url=url)
        done = forked("cli.rm", "s", "--yes", cwd=tmp_path, prepare=dies, prepared=("before", 1, place))
        assert done.returncode == -9
        assert not folder.path.exists() and cut_off(tmp_path / "results") == ["s"]
        assert overviews(str(tmp_path / "results")) == []
        done = rm(tmp_path, "s", "--yes", "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)[0]["trials"] == 10
        assert not list((tmp_path / "results").iterdir()) and optuna.get_all_study_summaries(url) == []


def test_its_runs_go_to_the_bin_and_another_s_stay(driven: Any, tmp_path: Path, tracking_uri: str) -> None:
    made = {}
    for name in ("s", "t"):
        folder = make(driven, tmp_path, name)
        made[name] = runs = Runs(tracking_uri, "space", folder.search_id or "")
        runs.ensure_parent(name, {})
        for number in range(2):
            runs.ensure_child(number, f"#{number}", {})
        RefitRuns(tracking_uri, runs.parent_id, "key").ensure_child(0, "seed 0", {})
    client = make_client(tracking_uri)

    def active(experiment: str) -> int:
        return len(client.search_runs([experiment]))

    experiment = made["s"].experiment_id
    assert active(experiment) == 8
    done = rm(tmp_path, "s", "--yes", "--tracking")
    assert done.returncode == 0 and "4 runs in MLflow (sqlite:///" in done.stdout, done.stderr
    assert active(experiment) == 4 and client.get_experiment(experiment).lifecycle_stage == "active"
    assert client.get_run(made["s"].parent_id).info.lifecycle_stage == "deleted"
    assert rm(tmp_path, "t", "--yes", "--tracking").returncode == 0
    assert client.get_experiment(experiment).lifecycle_stage == "deleted", "nothing is left in it"


def test_an_object_store_and_the_copy_of_it(driven: Any, tmp_path: Path, uri: str) -> None:
    folders = [SearchFolder(make(driven, tmp_path, name).path, place_in(uri, name)) for name in ("s", "t")]
    for folder in folders:
        with RemoteSync(folder, 10):
            pass
    store = ObjectStore(folders[0].remote or "")
    assert store.read("search.yaml") is not None
    elsewhere = {"pid": 7, "host": "elsewhere", "since": "noon", "alive": time.time()}
    store.write("driver.json", json.dumps(elsewhere).encode())
    done = rm(tmp_path, "s", "--storage", uri, "--yes")
    assert done.returncode == 2 and "s is being driven by process 7 on elsewhere since noon" in done.stderr
    store.write("driver.json", json.dumps({**elsewhere, "alive": time.time() - 601}).encode())
    done = rm(tmp_path, "s", "--storage", uri, "--yes")
    assert done.returncode == 0, done.stderr
    assert store.sizes() == {} and [seen.name for seen in overviews(uri)] == ["t"]
    assert [path.parent.name for path in (tmp_path / "cache").rglob("search.yaml")] == ["t"]
    # What a removal left that was cut off in the store: no search any more, and the same command goes on.
    ObjectStore(folders[1].remote or "").delete("search.yaml")
    shutil.rmtree(tmp_path / "cache")
    assert overviews(uri) == []
    done = rm(tmp_path, "t", "--storage", uri, "--yes")
    assert done.returncode == 0, done.stderr
    assert ObjectStore(folders[1].remote or "").sizes() == {}
    assert rm(tmp_path, "t", "--storage", uri, "--yes").returncode == 2


def test_the_runs_of_one_that_was_interrupted_are_where_it_put_them(
    driven: Any, tmp_path: Path, tracking_database: Path
) -> None:
    """Though it has no result that tells, and there is a database where others are tracked."""
    for place in (tmp_path, tmp_path / "server"):
        place.mkdir(exist_ok=True)
        shutil.copy(tracking_database, place)
    uri = f"sqlite:///{tmp_path / 'server' / 'mlflow.db'}"
    search = driven.load(tmp_path, driven.GAMMA)
    folder = make(driven, tmp_path)
    folder.result_file.unlink(missing_ok=True)
    Ledger(folder, search).note(RUNS_NOTE, [{"tracking_uri": uri}])
    Runs(uri, "space", folder.search_id or "").ensure_parent("s", {})
    done = rm(tmp_path, "s", "--yes", "--tracking")
    assert done.returncode == 0 and f"1 run in MLflow ({uri})" in done.stdout, done.stdout + done.stderr
