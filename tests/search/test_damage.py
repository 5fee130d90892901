"""A search whose folder was damaged is resumed with what could be mended said, or refused with what to do: never wrong in silence."""

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from rebnn_search.base.log_redirect import redirect_output
from rebnn_search.config import UserError
from rebnn_search.execution.mend import mend_reports
from rebnn_search.execution.reconcile import reconcile
from rebnn_search.storage.find import find_folder
from rebnn_search.storage.folder import SearchFolder, explain_disk_errors
from rebnn_search.storage.lock import DriverLock
from rebnn_search.study.ledger import Ledger
from rebnn_search.study.resume import resume_search
from rebnn_search.tracking import Point, Runs, Tracker
from rebnn_search.training.report_log import ReportLog, read_reports

LAST = 2
"""The unfinished trial of the search in these tests."""


READ_ONLY = "".join(
    f"create trigger {act}_{table} before {act} on {table} begin select raise(abort, 'attempt to write a readonly database'); end;"
    for table in ("runs", "tags", "latest_metrics", "metrics", "params")
    for act in ("insert", "update")
)
"""Makes a tracking database one that can be read and not written, whoever asks."""


class Begun:
    """A search killed with its third trial after two reports."""

    def __init__(self, driven: Any, path: Path) -> None:
        self.driven = driven
        self.search = driven.load(path, driven.GAMMA.replace("trials: 10", "trials: 6"))
        whole, self.folder = SearchFolder(path / "whole" / "s"), SearchFolder(path / "results" / "s")
        self.wanted = driven.drive(whole, self.search)
        journal = whole.journal.read_bytes().splitlines(keepends=True)
        steps = (n for n, line in enumerate(journal) if json.loads(line).get("trial_id") == LAST and b'"step":2' in line)
        self.folder.path.mkdir(parents=True)
        self.folder.journal.write_bytes(b"".join(journal[: next(steps) + 1]))
        shutil.copy(whole.search_file, self.folder.search_file)
        for number in range(LAST + 1):
            shutil.copytree(whole.trial(number), self.folder.trial(number))
        file = self.reports(LAST)
        file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:2]))

    def reports(self, number: int) -> Path:
        return self.folder.trial(number) / "reports.jsonl"

    def resume(self) -> None:
        """What a resumed run does before Ray starts, and then the trials without it."""
        found = find_folder(str(self.folder.path.parent), "space.yaml", "s", resume=True)
        search = resume_search(found.folder, self.search, None)
        with explain_disk_errors(found.folder), DriverLock(found.folder), redirect_output(found.folder.log):
            assert self.driven.drive(found.folder, search) == self.wanted


@pytest.fixture
def begun(driven: Any, tmp_path: Path) -> Begun:
    return Begun(driven, tmp_path)


def cut(path: Path, share: float) -> None:
    os.truncate(path, int(path.stat().st_size * share))


def to_directory(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir()


def to_link(path: Path, target: str = "/nowhere/at/all") -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def replace_line(path: Path, number: int, line: str) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[number] = line
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


REFUSED: dict[str, tuple[Callable[[SearchFolder], None], str]] = {
    "journal deleted": (lambda f: f.journal.unlink(), r"study\.journal holds no record of it any more.*Restore it.*or begin anew"),
    "journal empty": (lambda f: empty(f.journal), r"study\.journal holds no record of it any more"),
    "journal cut in its first line": (lambda f: os.truncate(f.journal, 20), r"study\.journal holds no record of it any more"),
    "journal of its first line": (
        lambda f: f.journal.write_bytes(f.journal.read_bytes().splitlines(keepends=True)[0]),
        r"study\.journal holds no record of it any more",
    ),
    "journal damaged inside": (lambda f: replace_line(f.journal, 3, '{"op_code": 4'), r"study\.journal:4: the journal is damaged"),
    "journal with another operation": (lambda f: replace_line(f.journal, 3, '{"op_code": 77}'), r"study\.journal: is damaged"),
    "journal with a wrong type": (lambda f: replace_line(f.journal, 3, "[]"), r"study\.journal: is damaged"),
    "journal a directory": (lambda f: to_directory(f.journal), r"study\.journal: is a directory"),
    "journal of another name": (
        lambda f: f.journal.write_bytes(f.journal.read_bytes().replace(b'"study_name":"s"', b'"study_name":"other"')),
        r"holds the record of other in its place",
    ),
    "journal of another search": (
        lambda f: f.journal.write_bytes(f.journal.read_bytes().replace(f.search_id.encode(), b"0" * 32)),  # type: ignore[union-attr]
        r"study\.journal is of another search than search\.yaml",
    ),
    "search.yaml empty": (lambda f: empty(f.search_file), r"search\.yaml: is no resolved search .*restore it from a copy"),
    "search.yaml of NUL": (lambda f: f.search_file.write_bytes(bytes(99)), r"search\.yaml: is no resolved search"),
    "search.yaml with another value": (
        lambda f: f.search_file.write_text(f.search_file.read_text().replace("trials: 6", "trials: [6]")),
        r"search\.yaml: is damaged .*trials",
    ),
    "search.yaml without its recipe": (
        lambda f: f.search_file.write_text(f.search_file.read_text().replace("recipe:", "receipt:")),
        r"search\.yaml: is damaged .*recipe",
    ),
    "search.yaml a directory": (lambda f: to_directory(f.search_file), r"search\.yaml: is no resolved search .*directory"),
    "driver.log a directory": (lambda f: to_directory(f.log), r"driver\.log: is a directory where a search keeps a file"),
    "driver.log a link to nowhere": (lambda f: to_link(f.log), r"driver\.log: is a link"),
    "lock a link to nowhere": (lambda f: to_link(f.path / "driver.lock"), r"driver\.lock: is a link.*remove it"),
    "lock a link": (lambda f: to_link(f.path / "driver.lock", "search.yaml"), r"driver\.lock: is a link.*remove it"),
    "lock a directory": (lambda f: to_directory(f.path / "driver.lock"), r"driver\.lock: is a directory"),
    "lock's owner a directory": (lambda f: to_directory(f.path / "driver.json"), r"driver\.json: is a directory"),
    "reports a directory": (lambda f: to_directory(f.trial(LAST) / "reports.jsonl"), r"0002/reports\.jsonl: is a directory"),
    "trial a file": (
        lambda f: (shutil.rmtree(f.trial(LAST)), f.trial(LAST).write_text("x"), None)[-1],
        r"0002.*(Not a directory|File exists): a search must be able to write there",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_refused(kind: str, begun: Begun) -> None:
    damage, told = REFUSED[kind]
    damage(begun.folder)
    before = {path: path.stat().st_mtime_ns for path in begun.folder.path.rglob("reports.jsonl")}
    with pytest.raises(UserError, match=told) as error:
        begun.resume()
    assert str(begun.folder.path) in str(error.value) or "'s'" in str(error.value) or str(error.value).startswith("s: ")
    assert before == {path: path.stat().st_mtime_ns for path in begun.folder.path.rglob("reports.jsonl")}


@pytest.mark.parametrize("share", range(0, 100, 3))
def test_search_yaml_cut_short_is_never_taken_for_whole(share: int, begun: Begun) -> None:
    cut(begun.folder.search_file, share / 100)
    with pytest.raises(UserError, match=r"search\.yaml: is no resolved search|search\.yaml: is damaged"):
        begun.resume()


WRONG = {
    "torn": ('{"step": 3, "epoch": 0.7', ""),
    "wrong step": ('{"step": "3", "epoch": 0.75, "timestamp": 1, "final": false, "metrics": {}}\n', "step input should be"),
    "wrong metrics": (
        '{"step": 3, "epoch": 0.75, "timestamp": 1, "final": false, "metrics": [1]}\n',
        "metrics input should be",
    ),
    "no metrics": ('{"step": 3, "epoch": 0.75, "timestamp": 1, "final": false, "metrics": {}}\n', "val/loss is no number"),
    "a word": (
        '{"step": 3, "epoch": 0.75, "timestamp": 1, "final": false, "metrics": {"val/loss": "a"}}\n',
        "metrics val/loss",
    ),
    "a list": ("[1, 2]\n", "should be an object"),
    "a number": ("5\n", "should be an object"),
    "a step back": ("REPEAT\n", "step 1 does not come after 2"),
    "bytes": ("\x00\x01\x02\n", "invalid json"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_line_at_the_end_of_reports_is_cut_off_and_said(
    kind: str, begun: Begun, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    line, told = WRONG[kind]
    file = begun.reports(LAST)
    whole = file.read_text(encoding="utf-8")
    file.write_text(whole + line.replace("REPEAT", whole.splitlines()[0]), encoding="utf-8")
    mend(begun, tmp_path)
    said = capsys.readouterr().err
    assert (f"{file}: damaged, line 3: " in said and told in said) if told else said == ""
    assert file.read_text(encoding="utf-8") == whole
    assert file.with_name("reports.jsonl.damaged").exists() == bool(told)
    begun.resume()


LOST: dict[str, Callable[[Path], Any]] = {
    "gone": lambda file: file.unlink(),
    "folder gone": lambda file: shutil.rmtree(file.parent),
    "empty": empty,
    "half": lambda file: cut(file, 0.6),
    "damaged inside": lambda file: replace_line(file, 1, "[]"),
}


def mend(begun: Begun, path: Path, tracked: bool = False) -> None:
    """Complete the reports as a resumed search does, with the MLflow of a search that tracked all its reports, or nothing."""
    url = f"sqlite:///{path}/mlflow.db"
    runs = Runs(url, "damage", "0" * 32)
    runs.ensure_parent("s", {})
    kept = Ledger(begun.folder, begun.search)
    if tracked:
        for trial in kept.trials:
            run = runs.ensure_child(trial.number, str(trial.number), {})
            reports = read_reports(SearchFolder(path / "whole" / "s").trial(trial.number) / "reports.jsonl")
            points = [Point(r.step, r.timestamp, r.metrics) for r in reports if r.step in trial.intermediate_values]
            runs.log(run, points)
            if trial.state.is_finished():
                runs.end(run, trial.state.name, {}, {"final/val/loss": 1.0})
    mend_reports(begun.search, begun.folder, kept, runs)


@pytest.fixture(scope="session")
def tracked_database(tmp_path_factory: pytest.TempPathFactory, tracking_database: Path) -> Path:
    """An MLflow database with an experiment and no runs."""
    path = shutil.copy(tracking_database, tmp_path_factory.mktemp("mlflow"))
    Runs(f"sqlite:///{path}", "damage", "0" * 32)
    return Path(path)


@pytest.fixture(autouse=True)
def database(tracked_database: Path, tmp_path: Path) -> None:
    shutil.copy(tracked_database, tmp_path / "mlflow.db")


@pytest.mark.parametrize("number", [0, LAST], ids=["finished", "unfinished"])
@pytest.mark.parametrize("kind", LOST)
def test_lost_reports_come_back_from_tracking(
    kind: str, number: int, begun: Begun, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = begun.reports(number)
    whole = read_reports(file)
    LOST[kind](file)
    mend(begun, tmp_path, tracked=True)
    lost = len(whole) - (1 if kind in ("half", "damaged inside") and number == LAST else 0)
    said = capsys.readouterr().err
    assert f"{file}: " in said and f"of {len(whole)} reports were lost" in said and "back from tracking" in said
    assert lost > 0 and "again" not in said
    assert read_reports(file) == whole
    begun.resume()


@pytest.mark.parametrize("number", [0, LAST], ids=["finished", "unfinished"])
@pytest.mark.parametrize("kind", LOST)
def test_lost_reports_are_told_of_where_tracking_has_none(
    kind: str, number: int, begun: Begun, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = begun.reports(number)
    whole = read_reports(file)
    LOST[kind](file)
    mend(begun, tmp_path)
    said = capsys.readouterr().err
    assert f"of {len(whole)} reports were lost; 0 are back from tracking" in said
    assert ("the trial makes the others again" if number == LAST else "the trial's result stands") in said
    begun.resume()  # the reports made again are judged as they were
    left = len(read_reports(file))
    assert left == begun.driven.REPORTS if number == LAST else left < len(whole)


def test_a_trial_that_the_record_lost_is_trained_anew(begun: Begun, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    begun.folder.trial(LAST).joinpath("checkpoints").mkdir()
    lines = begun.folder.journal.read_bytes().splitlines(keepends=True)
    (made,) = [n for n, line in enumerate(lines) if json.loads(line)["op_code"] == 4][LAST:]
    begun.folder.journal.write_bytes(b"".join(lines[:made]))
    runs = Runs(f"sqlite:///{tmp_path}/mlflow.db", "damage", "1" * 32)
    runs.ensure_parent("s", {})
    lost = runs.ensure_child(LAST, "what was trained", {"gamma.strategy": "another"})
    kept = runs.ensure_child(0, "the first", {})
    ledger = Ledger(begun.folder, begun.search)
    assert "0002: the record knows nothing of this trial; kept as 0002.lost-1" in capsys.readouterr().err
    tracker = Tracker(lambda: runs)
    reconcile(begun.search, begun.folder, ledger, tracker)
    assert tracker.close(60)
    assert runs.children[0] == kept and LAST not in runs.children
    assert runs.client.get_run(lost).info.lifecycle_stage == "deleted"
    begun.resume()
    assert (begun.folder.path / "trials" / "0002.lost-1" / "checkpoints").is_dir()


def test_what_a_store_was_sent_before_the_record_is_set_aside_there_too(begun: Begun, tmp_path: Path) -> None:
    sent = tmp_path / "bucket" / "s" / "trials"
    for number in (LAST, LAST + 1):
        (sent / f"{number:04d}" / "checkpoints").mkdir(parents=True)
        (sent / f"{number:04d}" / "reports.jsonl").write_text("{}\n", encoding="utf-8")
        (sent / f"{number:04d}" / "checkpoints" / "00000001.pt").write_bytes(b"weights")
    Ledger(SearchFolder(begun.folder.path, f"file://{tmp_path}/bucket/s"), begun.search)
    left = sorted(str(file.relative_to(sent)) for file in sent.rglob("*") if file.is_file())
    assert left == ["0002/checkpoints/00000001.pt", "0002/reports.jsonl"]


def test_what_a_killed_start_leaves_is_no_search(driven: Any, tmp_path: Path) -> None:
    search = driven.load(tmp_path, driven.GAMMA.replace("trials: 10", "trials: 3"))
    folder = SearchFolder(tmp_path / "results" / "s")
    folder.path.mkdir(parents=True)
    with DriverLock(folder):
        Ledger(folder, search)
    assert folder.journal.exists()
    for resume in (False, True):  # a job that is started again passes --resume-or-start
        found = find_folder(str(folder.path.parent), "space.yaml", "s", or_start=resume)
        assert not found.resumed
    driven.drive(folder, search)
    folder.search_file.unlink()
    with pytest.raises(UserError, match="already holds something else"):
        find_folder(str(folder.path.parent), "space.yaml", "s")
    with pytest.raises(UserError, match=r"holds the record of a search, but not its search\.yaml"):
        Ledger(folder, search)


def test_a_damaged_search_is_passed_over_with_a_word(begun: Begun, capsys: pytest.CaptureFixture[str]) -> None:
    storage = begun.folder.path.parent
    other = storage / "space-1"
    shutil.copytree(begun.folder.path, other)
    cut(other / "search.yaml", 0.5)
    assert find_folder(str(storage), "space.yaml", None, resume=True).folder.name == "s"
    assert f"passed over: {other / 'search.yaml'}: is no resolved search" in capsys.readouterr().err


def test_a_failure_that_was_not_recorded_leaves_no_reason(begun: Begun) -> None:
    ledger = Ledger(begun.folder, begun.search)
    study = ledger.study
    for key, value in (("summary", {"val/loss": 0.0}), ("reason", "the worker died")):
        study._storage.set_trial_user_attr(ledger.trial(LAST)._trial_id, key, value)
    resumed = Ledger(begun.folder, begun.search)
    assert resumed.summary(LAST)["reports"] == 2
    begun.driven.drive(begun.folder, begun.search)
    trial = Ledger(begun.folder, begun.search).trial(LAST)
    if trial.state == TrialState.COMPLETE:
        assert trial.user_attrs["reason"] is None
    assert trial.user_attrs["summary"]["val/loss"] == trial.intermediate_values[trial.last_step]


def test_reports_of_an_infinite_loss_are_reports(tmp_path: Path) -> None:
    line = (
        '{"step": 1, "epoch": 1, "timestamp": 1, "final": false, "metrics": {"val/loss": Infinity, "a": NaN}, "latent": null}\n'
    )
    (tmp_path / "r").write_text(line, encoding="utf-8")
    log = ReportLog(tmp_path / "r", ("val/loss",))
    assert log.damage is None and log.last_step == 1


@pytest.mark.parametrize(
    "bad",
    [
        b'{"step": 2, "epoch": 1.0, "timest\x00\x00": 1, "metrics": {"val/loss": 1.0}, "iteration": 6',
        b'{"step": 2, "iteration": \xff\xfe}',
        b'{"iteration": ' + b"[" * 100_000,
        b'{"step": 2, "epoch": 1.0, "timestanp": 1, "final": true, "metrics": {"val/loss": 1.0}, "latent": null, "iteration": 6}',
    ],
    ids=["no JSON", "no text", "deep", "no time"],
)
def test_any_damaged_line_ends_the_reports(tmp_path: Path, bad: bytes) -> None:
    good = b'{"step": 1, "epoch": 0.5, "timestamp": 1, "final": false, "metrics": {"val/loss": 1.0}, "latent": null}\n'
    file = tmp_path / "r"
    file.write_bytes(good + bad + b"\n")
    assert [report.step for report in read_reports(file)] == [1]
    log = ReportLog(file)
    assert log.damage is not None and log.damage.startswith("line 2: ")
    assert file.read_bytes() == good


def test_a_database_that_cannot_be_written_is_told_of_before_anything_starts(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/mlflow.db"
    Runs(url, "damage", "2" * 32).ensure_parent("s", {})
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        database.executescript(READ_ONLY)

    def connect() -> Runs:
        runs = Runs(url, "damage", "2" * 32)
        runs.ensure_parent("s", {})
        return runs

    with pytest.raises(
        UserError, match=r"--tracking-uri sqlite:///u\.db: cannot be used: .*: attempt to write a readonly database$"
    ):
        Tracker(connect).connected("sqlite:///u.db")


def test_a_storage_where_no_folder_can_be_made(workplace) -> None:  # type: ignore[no-untyped-def]
    done = workplace.run("--storage", "/proc/x", code=2)
    assert done.stderr.startswith("error: --storage /proc/x: no search can be kept there: ")
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.slow(minutes=1.5)
def test_a_damaged_search_is_resumed_mended_or_refused(workplace) -> None:  # type: ignore[no-untyped-def]
    one = ("--name", "s", "--set", "resources={max_concurrent: 1}", "--set", "pruner.name=none")
    first = workplace.json(*one, "--trials", "2")
    folder = SearchFolder(workplace.path / "results" / "s")

    journal = folder.journal.read_bytes()
    folder.journal.unlink()
    done = workplace.run(*one, "--trials", "3", "--resume", code=2)
    assert done.stderr.startswith(f"error: s: {folder.journal.relative_to(workplace.path)} holds no record of it any more")
    folder.journal.write_bytes(journal)

    whole = [read_reports(folder.trial(number) / "reports.jsonl") for number in (0, 1)]
    (folder.trial(0) / "reports.jsonl").unlink()
    replace_line(folder.trial(1) / "reports.jsonl", -1, '{"step": "8"}')
    done = workplace.run(*one, "--trials", "3", "--resume")
    assert "0000/reports.jsonl: 8 of 8 reports were lost; 8 are back from tracking" in done.stderr
    assert "0001/reports.jsonl: damaged, line 8: step input should be a valid integer" in done.stderr
    assert "0001/reports.jsonl: 1 of 8 reports were lost; 1 are back from tracking" in done.stderr
    for number in (0, 1):
        again = read_reports(folder.trial(number) / "reports.jsonl")
        assert [(r.step, r.epoch, r.timestamp, r.final, r.metrics) for r in again] == [
            (r.step, r.epoch, r.timestamp, r.final, r.metrics) for r in whole[number]
        ]
    result = json.loads(folder.result_file.read_text(encoding="utf-8"))
    assert result["parent_run_id"] == first["parent_run_id"]
    workplace.agree(result)
