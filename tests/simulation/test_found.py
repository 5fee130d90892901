"""What the simulation found, each by itself."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from support.simulation.faults import Calm
from support.simulation.kernel import Fault, Process
from support.simulation.workloads import WORKLOADS
from support.simulation.world import World

from rebnn_search.base.errors import UserError
from rebnn_search.base.files import make_directory, write_atomically
from rebnn_search.execution.controller import Controller
from rebnn_search.execution.events import SearchObserver, TrialTracking
from rebnn_search.storage.find import new_search, open_storage
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.storage.leftovers import clear_partial_files
from rebnn_search.study.ledger import Ledger
from rebnn_search.study.record import JournalLock
from rebnn_search.testing.pause_rule import drive, simulated_search
from rebnn_search.training.report_log import ReportLog, TrackedReport

REPORT = TrackedReport(1, 0.5, 1000, False, {"val/loss": 1.0, "val/top1": 50.0})


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The directories whose names were put on the disk."""
    found: list[Path] = []
    fsync = os.fsync

    def noted(number: int) -> None:
        found.append(Path(f"/proc/self/fd/{number}").resolve())
        fsync(number)

    monkeypatch.setattr(os, "fsync", noted)
    return found


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="a descriptor's file is asked of /proc")
def test_names_of_new_directories_and_of_the_first_report_are_on_the_disk(synced: list[Path], tmp_path: Path) -> None:
    write_atomically(tmp_path / "a" / "b" / "file", "content")
    assert {tmp_path, tmp_path / "a", tmp_path / "a" / "b"} <= set(synced)
    synced.clear()
    make_directory(tmp_path / "a" / "b")
    assert not synced
    for _ in range(2):  # the second stands for the driver after one that was killed: it cannot know
        synced.clear()
        log = ReportLog(tmp_path / "trials" / "reports.jsonl")
        log.append(REPORT if not log.reports else TrackedReport(2, 1.0, 2000, False, REPORT.metrics))
        assert tmp_path / "trials" in synced


def test_a_file_system_that_syncs_no_directories_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsync = os.fsync

    def no_directories(number: int) -> None:
        if stat.S_ISDIR(os.fstat(number).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        fsync(number)

    monkeypatch.setattr(os, "fsync", no_directories)
    write_atomically(tmp_path / "a" / "file", "content")
    assert (tmp_path / "a" / "file").read_text(encoding="utf-8") == "content"


def test_a_name_is_free_whose_first_driver_died_while_it_wrote(tmp_path: Path) -> None:
    for left in (".driver.json.7.partial", ".search.yaml.7.partial"):
        (tmp_path / "mine").mkdir(exist_ok=True)
        (tmp_path / "mine" / left).write_text("half", encoding="utf-8")
        assert new_search(open_storage(str(tmp_path)), "space.yaml", "mine").name == "mine"


def test_half_written_files_are_removed(tmp_path: Path) -> None:
    folder = SearchFolder(tmp_path)
    checkpoint = folder.checkpoints(0) / ".00000001.pt.7.partial"
    lefts = [tmp_path / ".result.json.7.partial", folder.trial(0) / ".recipe.yaml.7.partial"]
    for file in (checkpoint, *lefts, folder.report_file(0)):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    clear_partial_files(folder)
    assert not any(file.exists() for file in lefts)
    assert folder.report_file(0).exists() and checkpoint.exists()  # its worker may be at it


def test_a_full_disk_and_ctrl_c_are_not_hidden_by_the_record_s_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = JournalLock(str(tmp_path / "study.journal"))

    def fails(error: BaseException) -> Any:
        def call(*args: object) -> None:
            raise error

        return call

    lock.acquire()
    with monkeypatch.context() as patch, pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        patch.setattr(os, "rename", fails(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))))
        lock.release()
    lock.release()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "symlink", fails(KeyboardInterrupt()))
        lock.acquire()


def test_killed_while_it_gives_up_those_that_wait_a_search_gives_them_up(monkeypatch: pytest.MonkeyPatch) -> None:
    class KilledError(Exception):
        pass

    def killed(*args: object) -> None:
        raise KilledError

    with simulated_search("trials=12", "pruner={name: promotion, startup_trials: 8, every: 10, second_looks: 3}") as (
        search,
        path,
    ):
        whole = drive(search, path / "whole")
        with monkeypatch.context() as patch, pytest.raises(KilledError):
            patch.setattr(Controller, "give_up_paused", lambda self: (patch.setattr(Ledger, "prune", killed), given_up(self)))
            drive(search, path / "s")
        assert drive(search, path / "s") == whole


given_up = Controller.give_up_paused


def test_a_worker_that_dies_without_a_word_is_not_told_by_an_earlier_one_s(tmp_path: Path) -> None:
    with simulated_search("max_failures=9") as (search, path):
        folder = SearchFolder(path / "s")
        folder.path.mkdir()
        ledger = Ledger(folder, search)
        folder.write_search("space.yaml", search.dump(), None, ledger.search_id)
        controller = Controller(search, folder, ledger, TrialTracking(), SearchObserver())
        task = controller.next_task()
        full = f"OSError: {os.strerror(errno.ENOSPC)}"
        write_atomically(folder.trial(task.number) / "error.txt", full)
        controller.error(task, "a worker died")
        assert str(controller.abort_reason).startswith(os.strerror(errno.ENOSPC))
        # There is room again, and the next driver goes on.
        again = Controller(search, folder, Ledger(folder, search), TrialTracking(), SearchObserver())
        task = again.next_task()
        again.error(task, "a worker died")
        assert again.abort_reason is None and not again.stopping
        assert (folder.trial(task.number) / "error-before.txt").read_text(encoding="utf-8") == full


def test_a_search_that_ends_before_its_first_trial_leaves_no_run_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path / "w", WORKLOADS[0], Calm())

    def ask(self: Ledger) -> None:
        raise UserError("the machine lacks what a trial asks for")

    monkeypatch.setattr(Ledger, "ask", ask)
    with world._installed():
        world.begin()
    assert "lacks" in world.problems[0] and not world.server.runs


class _Full(Calm):
    """The disk is full from the first write on."""

    def at(self, process: Process, kind: str, what: str) -> Fault | None:
        return Fault("full", 0.0) if kind == "disk" and what.startswith("write") else None


def test_a_full_disk_while_a_leftover_is_cleared_is_a_message(tmp_path: Path) -> None:
    world = World(tmp_path / "w", WORKLOADS[0], _Full())
    with world._installed():
        folder = world.folder
        folder.path.mkdir(parents=True)
        folder.search_file.write_text("source: space.yaml", encoding="utf-8")
        _, outcome = world.begin()
    assert outcome.startswith("told") and os.strerror(errno.ENOSPC) in outcome and not world.problems


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="a descriptor's file is asked of /proc")
def test_a_report_of_a_killed_driver_is_on_the_disk_before_the_record_has_it(synced: list[Path]) -> None:
    with simulated_search() as (search, path):
        folder = SearchFolder(path / "s")
        folder.path.mkdir()
        killed = Ledger(folder, search)
        folder.write_search("space.yaml", search.dump(), None, killed.search_id)
        number, _ = killed.ask()
        file = folder.report_file(number)
        ReportLog(file).append(REPORT)  # and killed before it told the record, perhaps before the name was on the disk
        synced.clear()
        ledger = Ledger(folder, search)
        ledger.recover()
        journal = len(synced) - 1 - synced[::-1].index(folder.journal.resolve())
        assert {file.resolve(), file.parent.resolve()} <= set(synced[:journal])
        assert ledger.trial(number).intermediate_values == {1: 1.0}
