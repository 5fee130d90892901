"""What users of the libraries below lose time with, named after their threads: it holds here, and with their own wiring it does not.

docs/pains.md is the table of these and of the tests elsewhere. Where a library has mended its part, the test says so by being
skipped.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from rebnn_search.config import UserError
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.study.overview import overview
from rebnn_search.study.resume import resume_search


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda fd: None)
    monkeypatch.setattr(optuna.logging, "_default_handler", None)


def journal(path: Path) -> optuna.Study:
    storage = JournalStorage(JournalFileBackend(str(path)))
    return optuna.create_study(study_name="s", storage=storage, load_if_exists=True)


def square(trial: optuna.Trial) -> float:
    return float(trial.suggest_float("x", -1, 1) ** 2)


def mended(what: str) -> None:
    pytest.skip(f"Optuna {optuna.__version__} {what} by itself")


def fields(record: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return [(number, state, params, value, reports) for number, state, params, value, reports, *_ in record]


def test_ray_20886_ray_42221_a_finished_search_is_enlarged(driven: Any, tmp_path: Path) -> None:
    six = driven.load(tmp_path, driven.GAMMA.replace("trials: 10", "trials: 6"))
    ten = driven.load(tmp_path, driven.GAMMA)
    folder = SearchFolder(tmp_path / "results" / "s")
    assert len(driven.drive(folder, six)) == 6
    grown = driven.drive(folder, resume_search(folder, ten, None))
    assert fields(grown) == fields(driven.drive(SearchFolder(tmp_path / "whole" / "s"), ten)), (
        "as if it had been begun with ten"
    )


def test_optuna_1865_trials_are_those_in_all(driven: Any, tmp_path: Path) -> None:
    study = journal(tmp_path / "optuna.journal")
    for _ in range(2):
        study.optimize(square, n_trials=5)
    assert len(study.trials) == 10, "five more each time it is started"
    search = driven.load(tmp_path, driven.GAMMA)
    folder = SearchFolder(tmp_path / "results" / "s")
    assert [len(driven.drive(folder, search)) for _ in range(2)] == [10, 10]


def test_optuna_3215_no_trial_runs_for_ever(driven: Any, tmp_path: Path) -> None:
    journal(tmp_path / "optuna.journal").ask()  # its process is killed
    study = journal(tmp_path / "optuna.journal")
    study.optimize(square, n_trials=3)
    assert [trial.state for trial in study.trials].count(TrialState.RUNNING) == 1, "nobody goes on with it, and nobody ends it"
    search, folder = driven.load(tmp_path, driven.GAMMA), SearchFolder(tmp_path / "results" / "s")
    driven.begin(folder, search).ask()
    assert (overview(folder).unfinished, overview(folder).state) == (1, "interrupted")
    record = driven.drive(folder, search)
    assert {state for _, state, *_ in record} <= {"COMPLETE", "PRUNED", "FAIL"} and len(record) == 10


def test_optuna_5138_a_journal_cut_inside_its_last_line_goes_on(driven: Any, tmp_path: Path) -> None:
    file = tmp_path / "optuna.journal"
    journal(file).optimize(square, n_trials=2)
    file.write_bytes(file.read_bytes()[:-5])
    try:
        journal(file).optimize(square, n_trials=1)
        study = journal(file)
    except Exception as error:
        assert "JSON" in type(error).__name__ or "Extra data" in str(error) or "delimiter" in str(error), error
    else:
        assert len(study.trials) == 3
        mended("reads a journal that was written to after a cut")
    search, folder = driven.load(tmp_path, driven.GAMMA), SearchFolder(tmp_path / "results" / "s")
    whole = driven.drive(folder, search)
    folder.journal.write_bytes(folder.journal.read_bytes()[:-5])
    assert fields(driven.drive(folder, search)) == fields(whole)


def test_optuna_2199_optuna_2328_a_changed_space_is_refused_before_anything_is_trained(driven: Any, tmp_path: Path) -> None:
    study = optuna.create_study()
    study.optimize(lambda trial: float(trial.suggest_categorical("x", [1, 2])), n_trials=1)
    with pytest.raises(ValueError, match="does not support dynamic value space"):  # when the first trial asks, in its process
        study.optimize(lambda trial: float(trial.suggest_categorical("x", [1, 2, 3])), n_trials=1)
    folder = SearchFolder(tmp_path / "results" / "s")
    driven.drive(folder, driven.load(tmp_path, driven.GAMMA))
    before = folder.journal.read_bytes()
    changed = driven.load(tmp_path, driven.GAMMA.replace("[mean_abs, median_abs, fan_in]", "[mean_abs, fan_in]"))
    with pytest.raises(UserError, match=r"space\.scale_init\.strategy\.choice was .*'median_abs'.* is "):
        resume_search(folder, changed, None)
    assert folder.journal.read_bytes() == before
