import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rebnn_search.config import UserError
from rebnn_search.storage.find import existing_search, named_search, new_search, open_storage
from rebnn_search.storage.folder import SearchFolder, check_name, explain_disk_errors
from rebnn_search.storage.lock import DriverLock
from rebnn_search.training.report_log import ReportLog, TrackedReport, read_reports


def make(storage: Path, name: str, source: str = "gamma.yaml", finished: bool = False) -> SearchFolder:
    folder = SearchFolder(storage / name)
    folder.path.mkdir(parents=True)
    folder.write_search(source, {})
    if finished:
        folder.result_file.write_text("{}", encoding="utf-8")
    return folder


def test_a_new_search_takes_the_next_free_number(tmp_path: Path) -> None:
    assert new_search(open_storage(str(tmp_path)), "gamma.yaml", None).name == "gamma-1"
    make(tmp_path, "gamma-1")
    make(tmp_path, "gamma-9")
    make(tmp_path, "gamma-x")
    assert new_search(open_storage(str(tmp_path)), "gamma.yaml", None).name == "gamma-10"


def test_a_taken_name_is_refused_and_untouched(tmp_path: Path) -> None:
    folder = make(tmp_path, "mine")
    before = sorted((path, path.stat().st_mtime_ns) for path in folder.path.rglob("*"))
    with pytest.raises(UserError, match=r"--name mine: .* already holds a search: add --resume"):
        new_search(open_storage(str(tmp_path)), "gamma.yaml", "mine")
    assert sorted((path, path.stat().st_mtime_ns) for path in folder.path.rglob("*")) == before


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "-x", "a b", "x" * 101, "a\n"])
def test_a_name_cannot_leave_the_storage(name: str) -> None:
    with pytest.raises(UserError, match="use letters"):
        check_name(name)


def test_resume_finds_the_newest_unfinished_of_the_file(tmp_path: Path) -> None:
    for index, (name, source, finished) in enumerate(
        [
            ("gamma-1", "gamma.yaml", False),
            ("gamma-2", "gamma.yaml", False),
            ("gamma-3", "gamma.yaml", True),
            ("lr-1", "lr.yaml", False),
        ]
    ):
        folder = make(tmp_path, name, source, finished)
        os.utime(folder.search_file, (index, index))
    assert existing_search(open_storage(str(tmp_path)), "gamma.yaml", None).name == "gamma-2"
    assert existing_search(open_storage(str(tmp_path)), "gamma.yaml", "gamma-1").name == "gamma-1"
    with pytest.raises(UserError, match=r"--resume: nothing to resume: .* holds no search of joint\.yaml"):
        existing_search(open_storage(str(tmp_path)), "joint.yaml", None)
    with pytest.raises(UserError, match=r"no such search in .*; there: gamma-1, gamma-2, gamma-3, lr-1"):
        existing_search(open_storage(str(tmp_path)), "gamma.yaml", "gamma-7")


def test_one_driver_at_a_time_and_a_dead_one_s_lock_is_free(tmp_path: Path) -> None:
    folder = make(tmp_path, "gamma-1")
    code = (
        "import sys, pathlib, time\n"
        "from rebnn_search.storage.folder import SearchFolder\n"
        "from rebnn_search.storage.lock import DriverLock\n"
        "with DriverLock(SearchFolder(pathlib.Path(sys.argv[1]))):\n"
        "    print('held', flush=True)\n"
        "    time.sleep(60)\n"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(folder.path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    started = time.time()
    with pytest.raises(UserError, match=rf"gamma-1 is being driven by process {holder.pid} on .* since"), DriverLock(folder):
        pass
    assert time.time() - started < 5
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with DriverLock(folder):
        pass


def report(step: int) -> TrackedReport:
    return TrackedReport(step, step / 4, 1000 + step, False, {"val/loss": 1.0 / step})


def test_reports_are_kept_once_each(tmp_path: Path) -> None:
    path = tmp_path / "trial" / "reports.jsonl"
    log = ReportLog(path)
    assert [log.append(report(step)) for step in (1, 2, 2, 1, 3)] == [True, True, False, False, True]
    assert read_reports(path) == [report(1), report(2), report(3)]
    assert ReportLog(path).last_step == 3


@pytest.mark.parametrize(
    "tail", ['{"step": 3', '{"step": 3}\n', "\x00\x00", '{"step": 3, "epoch": 0.75, "timestamp": 1, "final": false']
)
def test_a_torn_last_line_is_cut_by_the_writer_and_ignored_by_readers(tmp_path: Path, tail: str) -> None:
    path = tmp_path / "reports.jsonl"
    log = ReportLog(path)
    log.append(report(1))
    log.append(report(2))
    whole = path.read_bytes()
    path.write_bytes(whole + tail.encode())
    assert read_reports(path) == [report(1), report(2)]
    assert path.read_bytes() != whole
    again = ReportLog(path)
    assert path.read_bytes() == whole
    assert again.append(report(3))
    assert read_reports(path) == [report(1), report(2), report(3)]


def test_a_full_disk_found_by_the_driver_is_told() -> None:
    told = "mine: No space left on device; free some and continue with --resume"
    with pytest.raises(UserError, match=told), explain_disk_errors(SearchFolder(Path("mine"))):
        Path("/dev/full").write_text("x", encoding="utf-8")
    with pytest.raises(FileNotFoundError), explain_disk_errors(SearchFolder(Path("mine"))):
        Path("/nowhere/at/all").read_text(encoding="utf-8")


def test_no_password_is_said_of_a_storage_without_the_search(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("rebnn_search.storage.find.fetch_index", lambda uri: tmp_path)
    with pytest.raises(UserError) as raised:
        named_search("s3://KEY:topsecret@bucket/x", "gamma-1")
    assert "gamma-1: no such search in s3://KEY:***@bucket/x; there: none" in str(raised.value)


def test_a_full_disk_leaves_the_lock_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make(tmp_path, "gamma-1")

    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("rebnn_search.storage.lock.write_atomically", full)
        with pytest.raises(OSError, match="No space") as raised, DriverLock(folder):
            pass
    with DriverLock(folder):
        assert raised.traceback, "which holds what it met, as a notebook does"
    folder.path.joinpath("driver.json").mkdir()
    with pytest.raises(OSError), DriverLock(folder):
        pass
    folder.path.joinpath("driver.json").rmdir()
    with DriverLock(folder):
        pass
