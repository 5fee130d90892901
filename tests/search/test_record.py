"""Wherever its record is cut, a search resumed is the search left alone, to the bit."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.exceptions import StorageInternalError
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from sqlalchemy import event
from sqlalchemy.engine import Engine

from rebnn_search.config import UserError
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.study.attributes import PARAMS
from rebnn_search.study.ledger import Ledger
from rebnn_search.study.record import explain_database_errors, repair
from rebnn_search.study.samplers import sampler_factory

SAMPLERS = ["random", "gp", "qmc", "{name: tpe, multivariate: false}"]
PRUNERS = ["{name: successive_halving, reduction_factor: 2}", "{name: hyperband, reduction_factor: 2}", "wilcoxon"]


def long(space: str) -> Any:
    """A space whose test takes minutes."""
    return pytest.param(space, marks=pytest.mark.slow(minutes=1.5))


SPACES = ["GAMMA", "MANY", "GRID", *((sampler, "median") for sampler in SAMPLERS), *(("tpe", pruner) for pruner in PRUNERS)]


@pytest.fixture(autouse=True)
def unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here is about power cuts, and a thousand searches sync a hundred thousand times."""
    monkeypatch.setattr(os, "fsync", lambda fd: None)


def text(driven: Any, space: Any) -> str:
    if isinstance(space, str):
        return str(getattr(driven, space))
    return str(driven.PLAIN.replace("SAMPLER", space[0]).replace("PRUNER", space[1]))


def begun(tmp_path: Path, whole: SearchFolder, journal: list[bytes]) -> SearchFolder:
    """The folder of a search killed after so many lines of its journal, with the reports that were on disk by then."""
    folder = SearchFolder(tmp_path / "cut" / whole.name)
    shutil.rmtree(folder.path, ignore_errors=True)
    folder.path.mkdir(parents=True)
    shutil.copy(whole.search_file, folder.search_file)
    folder.journal.write_bytes(b"".join(journal))
    return folder


def copy_reports(whole: SearchFolder, folder: SearchFolder, journal: list[bytes], ahead: int) -> None:
    """The reports that were on disk after so many lines of the journal, ``ahead`` more than it has of the last trial."""
    steps: dict[int, int] = {}
    made = 0
    for line in journal:
        entry = json.loads(line)
        made += entry["op_code"] == 4
        if entry["op_code"] == 7:
            steps[entry["trial_id"]] = entry["step"]
    if made:
        steps[made - 1] = steps.get(made - 1, 0) + ahead
    for number, count in steps.items():
        lines = (whole.trial(number) / "reports.jsonl").read_bytes().splitlines(keepends=True)
        folder.trial(number).mkdir(parents=True)
        (folder.trial(number) / "reports.jsonl").write_bytes(b"".join(lines[:count]))


@pytest.mark.parametrize("space", [long(space) if space == "MANY" else space for space in SPACES], ids=str)
def test_cut_after_each_line_of_its_journal(driven: Any, space: Any, tmp_path: Path) -> None:
    search = driven.load(tmp_path, text(driven, space))
    whole = SearchFolder(tmp_path / "whole" / "s")
    wanted = driven.drive(whole, search)
    journal = whole.journal.read_bytes().splitlines(keepends=True)
    assert sum(json.loads(line)["op_code"] == 4 for line in journal) == len(wanted) == search.trials
    main = space in ("GAMMA", "MANY")
    for count in range(2, len(journal) + 1, 1 if main else 5):  # two lines make the search
        for ahead in (0, 1) if main else (count % 2,):
            folder = begun(tmp_path, whole, journal[:count])
            copy_reports(whole, folder, journal[:count], ahead)
            assert driven.drive(folder, search) == wanted, f"after line {count}, reports {ahead} ahead"
    if main:  # the journal alone lost its end
        for count in range(2, len(journal), 7):
            folder = begun(tmp_path, whole, journal[:count])
            shutil.copytree(whole.path / "trials", folder.path / "trials")
            assert driven.drive(folder, search) == wanted, f"after line {count}, all reports there"


def test_cut_at_each_byte_it_is_cut_after_a_line(driven: Any, tmp_path: Path) -> None:
    search = driven.load(tmp_path, driven.GAMMA.replace("trials: 10", "trials: 3"))
    whole = SearchFolder(tmp_path / "whole" / "s")
    driven.drive(whole, search)
    content = whole.journal.read_bytes()
    torn = tmp_path / "torn"
    for size in range(len(content) + 1):
        torn.write_bytes(content[:size])
        repair(torn)
        assert torn.stat().st_size == content.rfind(b"\n", 0, size) + 1


def ask_as_before(folder: SearchFolder, search: Any, stop: int) -> None:
    """Ask for the next trial as earlier versions did, one line after another, and stop after so many."""
    lines = 0

    class Stopping(JournalFileBackend):
        def append_logs(self, logs: list[dict[str, Any]]) -> None:
            nonlocal lines
            if lines == stop:
                raise KeyboardInterrupt
            super().append_logs(logs)
            lines += 1

    study = optuna.load_study(study_name=folder.name, storage=JournalStorage(Stopping(str(folder.journal))))
    number = len(study.trials)
    study.sampler = sampler_factory(search.spec.sampler, search.spec.sampler_seed)(number)
    if number < len(search.fixed):
        study.enqueue_trial(search.fixed[number])
    trial = study.ask()
    trial.set_user_attr(PARAMS, search.space.suggest(trial))
    raise StopIteration


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::optuna.exceptions.ExperimentalWarning")
def test_a_trial_that_an_earlier_version_left_half_asked_for(driven: Any, tmp_path: Path) -> None:
    search = driven.load(tmp_path, driven.GAMMA)
    whole = SearchFolder(tmp_path / "whole" / "s")
    wanted = driven.drive(whole, search)
    journal = whole.journal.read_bytes().splitlines(keepends=True)
    for count, line in enumerate(journal):
        if json.loads(line)["op_code"] != 4:
            continue
        stop, asked = 0, False
        while not asked:
            folder = begun(tmp_path, whole, journal[:count])
            copy_reports(whole, folder, journal[:count], 0)
            try:
                ask_as_before(folder, search, stop)
            except KeyboardInterrupt:
                stop += 1
            except StopIteration:
                asked = True
            found = driven.drive(folder, search)
            assert found == wanted, f"line {count}, {stop} lines of the ask"
        assert stop > 3


def test_what_is_half_asked_for_stands_where_the_sampler_would_choose_otherwise(driven: Any, tmp_path: Path) -> None:
    search = driven.load(tmp_path, driven.GAMMA.replace("trials: 10", "trials: 3"))
    folder = SearchFolder(tmp_path / "r" / "s")
    driven.drive(folder, search)
    study = optuna.load_study(study_name="s", storage=JournalStorage(JournalFileBackend(str(folder.journal))))
    study.ask().suggest_categorical("gamma.strategy", ["flip_ratio", "max_gradient", "constant"])
    given = study.trials[3].params["gamma.strategy"]
    others = [name for name in ("flip_ratio", "max_gradient", "constant") if name != given]
    for name in others:
        shutil.copy(folder.journal, tmp_path / "journal")
        journal = folder.journal.read_text(encoding="utf-8")
        index = ["flip_ratio", "max_gradient", "constant"].index(name)
        *before, last = journal.splitlines()
        entry = {**json.loads(last), "param_value_internal": index}
        folder.journal.write_text("\n".join([*before, json.dumps(entry)]) + "\n", encoding="utf-8")
        number, params = Ledger(folder, search).ask()
        assert number == 3
        assert params["gamma.strategy"] == name
        assert ("gamma.value" in params) == (name == "constant")
        trial = Ledger(folder, search).trial(3)
        assert trial.params == trial.user_attrs[PARAMS] == params
        shutil.copy(tmp_path / "journal", folder.journal)


def test_a_database_that_answers_no_more_is_one_message() -> None:
    def ask(url: str | None) -> None:
        with explain_database_errors(url):
            try:
                raise OSError("server closed the connection\nunexpectedly")
            except OSError as error:
                raise StorageInternalError("An exception is raised during the commit.") from error

    with pytest.raises(
        UserError, match=r"^--ledger postgresql://me:\*+@host/db: .* OSError server closed the connection; once"
    ):
        ask("postgresql://me:secret@host/db")
    with pytest.raises(StorageInternalError):
        ask(None)


class Killed(BaseException):
    pass


@contextmanager
def killed_at(statement: int) -> Iterator[None]:
    """Raise at the n-th statement that a database gets: what of its transaction went before is lost with it."""
    count = 0

    def before(conn: Any, cursor: Any, text: str, *rest: Any) -> None:
        nonlocal count
        if text.startswith(("INSERT", "UPDATE", "DELETE")):
            count += 1
            if count == statement:
                raise Killed

    event.listen(Engine, "before_cursor_execute", before)
    try:
        yield
    finally:
        event.remove(Engine, "before_cursor_execute", before)


@pytest.mark.parametrize("space", ["GAMMA", "MANY"])
def test_killed_between_two_statements_of_its_database(driven: Any, space: str, tmp_path: Path) -> None:
    search = driven.load(tmp_path, text(driven, space).replace("trials: 10", "trials: 6").replace("trials: 12", "trials: 6"))
    wanted = driven.drive(SearchFolder(tmp_path / "whole" / "s"), search, f"sqlite:///{tmp_path}/whole.db")
    folder, url = SearchFolder(tmp_path / "killed" / "s"), f"sqlite:///{tmp_path}/killed.db"
    driven.begin(folder, search, url)
    kills, found = 0, None
    while found is None:
        kills += 1
        try:
            with killed_at(1 + 2 * kills % 17):
                found = driven.drive(folder, search, url)
        except Killed:
            assert kills < 200
    assert kills >= 10
    assert found == wanted


def test_of_two_searches_that_begin_under_one_name_in_a_database_one_goes_on(driven: Any, tmp_path: Path) -> None:
    """The record of the first has no trial yet, so that the second takes it for that of a driver that died."""
    search, url = driven.load(tmp_path, driven.GAMMA), f"sqlite:///{tmp_path}/study.db"
    first = driven.begin(SearchFolder(tmp_path / "a" / "gamma-1"), search, url)
    second = driven.begin(SearchFolder(tmp_path / "b" / "gamma-1"), search, url)
    with pytest.raises(UserError, match=r"^gamma-1: another search took this name in the ledger meanwhile"):
        first.ask()
    assert second.ask()[0] == 0
    assert [trial.number for trial in second.trials] == [0]
