"""Searches at a glance and one by one: what ``ls`` and ``show`` say is what the record says, and nothing is touched."""

from __future__ import annotations

import json
import lzma
import os
import subprocess
import sys
import tarfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from support.commands import call

from rebnn_search.base.printable import printable
from rebnn_search.cli.show import _run_words
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.storage.lock import DriverLock
from rebnn_search.study.attributes import RUNS
from rebnn_search.study.objectives import OBJECTIVES
from rebnn_search.study.objectives.base import ReportedObjective
from rebnn_search.study.overview import overview, overviews
from rebnn_search.training.report_log import TrackedReport

OLD = Path(__file__).parents[1] / "assets" / "search_0_1_0.tar.xz"
STARTED = "2026-01-02T03:04:05+00:00"
COMMAND = "python -m rebnn_search.run space.yaml --name s --set epochs=1 --storage there"
LIGHT = """
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "ray", "mlflow", "sklearn", "scipy", "matplotlib", "pandas"}:
            raise ImportError(f"{name} is for those who go on")

sys.meta_path.insert(0, Block())
from rebnn_search.cli.main import main
main(["ls"])
"""


@pytest.fixture(autouse=True)
def unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda fd: None)


def make(driven: Any, path: Path, name: str = "s", text: str | None = None, url: str | None = None) -> SearchFolder:
    """A search that was driven to its end, without the result that only a session writes."""
    folder = SearchFolder(path / "results" / name)
    search = driven.load(path, text or driven.GAMMA)
    driven.begin(folder, search, url).note(RUNS, [{"started": STARTED, "host": "here", "command": COMMAND}])
    driven.drive(folder, search, url)
    return folder


def listing(path: Path, *words: str) -> list[dict[str, Any]]:
    done = call("cli.ls", "--json", *words, cwd=path)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Two searches of an earlier version, one finished and one begun."""
    with lzma.open(OLD) as file, tarfile.open(fileobj=file) as archive:
        archive.extractall(tmp_path)
    return tmp_path


@pytest.mark.parametrize("text", ["GAMMA", "MANY"])
def test_a_line_says_what_the_record_says(driven: Any, tmp_path: Path, text: str) -> None:
    folder = make(driven, tmp_path, text=getattr(driven, text))
    search = driven.load(tmp_path, getattr(driven, text))
    states = Counter(state for _, state, *_ in driven.record(driven.begin(folder, search)))
    best = driven.begin(folder, search).best
    (line,) = listing(tmp_path)
    assert (line["complete"], line["pruned"], line["failed"]) == (states["COMPLETE"], states["PRUNED"], states["FAIL"])
    assert (line["name"], line["state"], line["target"], line["unfinished"]) == ("s", "interrupted", search.trials, 0)
    assert line["best"] == pytest.approx(sum(trial.value for trial in best) / len(best))
    assert (line["objective"], line["direction"], line["started"]) == ("val/loss", "minimize", STARTED)
    assert line["size"] == sum(file.stat().st_size for file in folder.path.rglob("*") if file.is_file())


@pytest.mark.parametrize(("most", "feasible"), [("100", True), ("0.001", False)])
def test_what_breaks_a_constraint_is_never_best(driven: Any, tmp_path: Path, most: str, feasible: bool) -> None:
    text = driven.GAMMA + f"constraints: {{val/loss: <= {most}}}\n"
    folder = make(driven, tmp_path, text=text)
    best = driven.begin(folder, driven.load(tmp_path, text)).best
    (line,) = listing(tmp_path)
    assert bool(best) is feasible
    assert line["best"] == (best[0].value if best else None)
    done = call("cli.show", "s", cwd=tmp_path)
    assert done.returncode == 0 and ("INFEASIBLE" in done.stdout) >= (not feasible), done.stderr


def test_a_configuration_of_which_a_seed_breaks_a_constraint_is_not_best(driven: Any, tmp_path: Path) -> None:
    text = driven.MANY.replace("{name: successive_halving, reduction_factor: 2}", "none") + "constraints: {val/loss: <= 100}\n"
    best = driven.begin(make(driven, tmp_path, text=text), driven.load(tmp_path, text)).best
    # The limit between the seeds of the best: the one keeps to it, the other does not.
    text = text.replace("<= 100", f"<= {sum(trial.value for trial in best) / 2}")
    limited = driven.begin(make(driven, tmp_path, "limited", text=text), driven.load(tmp_path, text)).best
    assert [trial.number for trial in limited] != [trial.number for trial in best]
    line = next(line for line in listing(tmp_path) if line["name"] == "limited")
    assert line["best"] == (sum(trial.value for trial in limited) / 2 if limited else None)


def test_the_direction_is_the_first_objective_s_whatever_its_name(
    driven: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Reversed(ReportedObjective):
        """Less is better."""

    monkeypatch.setitem(OBJECTIVES._classes, "val/top1", Reversed)
    text = driven.GAMMA + "objectives: [val/top1, val/loss]\n"
    folder = make(driven, tmp_path, text=text)
    trials = [trial for trial in driven.begin(folder, driven.load(tmp_path, text)).trials if trial.state.name == "COMPLETE"]
    (line,) = listing(tmp_path)
    assert (line["objective"], line["direction"]) == ("val/top1", "minimize")
    assert line["best"] == min(trial.values[0] for trial in trials)


def test_looking_changes_nothing_and_imports_no_torch(driven: Any, tmp_path: Path) -> None:
    folder = make(driven, tmp_path)
    before = {file: (file.stat().st_mtime_ns, file.read_bytes()) for file in folder.path.rglob("*") if file.is_file()}
    done = subprocess.run([sys.executable, "-c", LIGHT], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "s " in done.stdout and "interrupted" in done.stdout and "10/10" in done.stdout
    assert call("cli.show", "s", cwd=tmp_path).returncode == 0
    assert {file: (file.stat().st_mtime_ns, file.read_bytes()) for file in folder.path.rglob("*") if file.is_file()} == before
    assert call("cli.ls", "--names", cwd=tmp_path).stdout == "s\n"


def test_a_search_that_is_driven_is_running_and_a_dead_driver_s_is_not(driven: Any, tmp_path: Path) -> None:
    folder = make(driven, tmp_path)
    with DriverLock(folder):
        seen = overview(folder)
        assert seen.state == "running" and seen.driver is not None and f"process {os.getpid()} on " in seen.driver
        assert "driven by process" in call("cli.show", "s", cwd=tmp_path).stdout
    assert overview(folder).state == "interrupted"
    # As a kill leaves it: the file is there, by the number of a process that lives, and nobody holds the lock.
    (folder.path / "driver.json").write_text(json.dumps({"pid": os.getpid(), "host": "here", "since": "noon"}))
    assert (overview(folder).state, overview(folder).driver) == ("interrupted", None)
    with DriverLock(folder):  # looking has taken nothing
        pass


def test_every_state_has_its_line(driven: Any, tmp_path: Path) -> None:
    make(driven, tmp_path, "whole")
    driven.begin(SearchFolder(tmp_path / "results" / "empty"), driven.load(tmp_path, driven.GAMMA))
    torn = make(driven, tmp_path, "torn")
    torn.search_file.write_text("source: [", encoding="utf-8")
    lost = make(driven, tmp_path, "lost")
    lost.journal.unlink()
    (tmp_path / "results" / "other").mkdir()
    (tmp_path / "results" / ".removed" / "gone@1").mkdir(parents=True)
    (tmp_path / "results" / ".removed" / "gone@1" / "search.yaml").touch()
    states = {line["name"]: (line["state"], line["note"]) for line in listing(tmp_path)}
    assert set(states) == {"whole", "empty", "torn", "lost"}
    assert states["whole"] == ("interrupted", None) and states["empty"] == ("not begun", None)
    assert states["torn"][0] == "damaged" and "is no resolved search" in states["torn"][1]
    assert "study.journal: there is no such file" in states["lost"][1]
    said = call("cli.ls", cwd=tmp_path)
    assert "gone: its removal was cut off" in said.stderr and "torn: " in said.stderr and "?/?" in said.stdout
    assert "--storage nowhere: there is no such directory" in call("cli.ls", "--storage", "nowhere", cwd=tmp_path).stderr
    assert "is a file, not a directory" in call("cli.ls", "--storage", "tiny.yaml", cwd=tmp_path).stderr


def test_searches_of_an_earlier_version(old: Path) -> None:
    found = {line["name"]: line for line in listing(old)}
    assert {name: line["state"] for name, line in found.items()} == {"finished": "finished", "begun": "interrupted"}
    result = json.loads((old / "results" / "finished" / "result.json").read_text(encoding="utf-8"))
    best = next(trial for trial in result["trials"] if trial["number"] == result["best"]["number"])
    assert found["finished"]["best"] == best["val_loss"]
    assert all(line["note"] is None and line["started"] for line in found.values())
    done = call("cli.show", "finished", "--json", cwd=old)
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    stable = lambda trials: [{**trial, "run_id": None, "reason": None} for trial in trials]  # noqa: E731
    assert stable(shown["result"]["trials"]) == stable(result["trials"])
    assert shown["result"]["best"]["number"] == result["best"]["number"]


def test_show_has_the_leaderboard_files_and_commands(driven: Any, tmp_path: Path) -> None:
    search = driven.load(tmp_path, driven.GAMMA)
    folder = make(driven, tmp_path)
    done = call("cli.show", "s", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    best = driven.begin(folder, search).best[0]
    rows = [line.split() for line in done.stdout.splitlines() if line.strip().startswith("1 ")]
    assert rows[0][:2] == ["1", f"#{best.number}"]
    assert "optimizer.lr         log_uniform: [0.0001, 0.03]" in done.stdout
    assert "run space.yaml --resume --name s --set epochs=1 --storage there" in done.stdout
    assert "rebnn-search report s" in done.stdout and "refit" not in done.stdout, "it is not finished"
    shown = json.loads(call("cli.show", "s", "--json", cwd=tmp_path).stdout)
    assert shown["result"]["trials"][best.number]["val_loss"] == best.value
    assert shown["search"] == json.loads(json.dumps(search.dump()))
    assert shown["commands"]["resume"].endswith("--resume --name s --set epochs=1 --storage there")


def test_show_of_one_that_runs_has_its_running_trials(driven: Any, tmp_path: Path) -> None:
    folder = SearchFolder(tmp_path / "results" / "s")
    ledger = driven.begin(folder, driven.load(tmp_path, driven.GAMMA))
    number, _ = ledger.ask()
    ledger.report(number, TrackedReport(1, 0.25, 1000, False, {"val/loss": 1.25, "val/top1": 50.0}))
    shown = json.loads(call("cli.show", "s", "--json", cwd=tmp_path).stdout)
    (trial,) = shown["result"]["trials"]
    assert (trial["state"], trial["val_loss"], trial["epochs"]) == ("RUNNING", 1.25, 0.25)
    assert (shown["unfinished"], shown["best"]) == (1, None)
    assert "RUNNING" in call("cli.show", "s", cwd=tmp_path).stdout
    ledger.pause(number)
    done = call("cli.show", "s", cwd=tmp_path).stdout
    assert "WAITING" in done and "RUNNING" not in done


def test_a_ledger_in_a_database(driven: Any, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    make(driven, tmp_path, url=url)
    (line,) = listing(tmp_path)
    assert line["complete"] + line["pruned"] + line["failed"] == 10 and line["note"] is None
    assert call("cli.show", "s", cwd=tmp_path).returncode == 0
    (tmp_path / "study.db").unlink()
    (line,) = listing(tmp_path)
    assert line["complete"] is None and "there is no database" in line["note"]


def test_a_ledger_with_a_password_is_not_asked(driven: Any, tmp_path: Path) -> None:
    folder = make(driven, tmp_path)
    folder.write_search("space.yaml", folder.read_search()[1], "postgresql://me:***@host/optuna", folder.search_id)
    (line,) = listing(tmp_path)
    assert line["complete"] is None and "needs a password" in line["note"]
    done = call("cli.show", "s", cwd=tmp_path)
    assert done.returncode == 2 and "pass --ledger" in done.stderr


def test_an_object_store_is_read_and_not_copied(driven: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rebnn_search.storage.object_store import ObjectStore, place_in
    from rebnn_search.storage.remote_sync import RemoteSync

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    local = make(driven, tmp_path)
    uri = (tmp_path / "shared storage").as_uri()
    folder = SearchFolder(local.path, place_in(uri, "s"))
    with RemoteSync(folder, 10):
        pass
    store = ObjectStore(folder.remote or "")
    elsewhere = {"pid": 7, "host": "elsewhere", "since": "noon", "alive": time.time()}
    store.write("driver.json", json.dumps(elsewhere).encode())
    (seen,) = overviews(uri)
    assert (seen.state, seen.driver) == ("running", "process 7 on elsewhere since noon")
    store.write("driver.json", json.dumps({**elsewhere, "alive": time.time() - 61}).encode())
    (line,) = listing(tmp_path, "--storage", uri)
    here = overview(local)
    assert (line["state"], line["best"], line["complete"]) == ("interrupted", here.best, here.complete)
    assert not (tmp_path / "cache").exists()
    done = call("cli.show", "s", "--storage", uri, cwd=tmp_path)
    assert done.returncode == 0 and uri in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("python -m rebnn_search.run s.yaml --trials 3", ["s.yaml", "--trials", "3"]),
        ("/v/bin/python -m rebnn_search run gamma", ["gamma"]),
        ("/v/bin/python /v/bin/rebnn-search run gamma --json", ["gamma", "--json"]),
        ("rebnn-search run gamma", ["gamma"]),
        ("python mine.py run gamma", None),
        ("python -m ipykernel_launcher -f k.json", None),
        ("", None),
        ("python 'torn", None),
    ],
)
def test_a_recorded_command_is_known_by_its_words(command: str, words: list[str] | None) -> None:
    assert _run_words(command) == words


def test_no_such_search(driven: Any, tmp_path: Path) -> None:
    make(driven, tmp_path)
    done = call("cli.show", "t", cwd=tmp_path)
    assert done.returncode == 2 and printable("t: no such search in results; there: s") in done.stderr
