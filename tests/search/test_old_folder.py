"""A search begun by version 0.1.0 goes on in this one, and what it left can be read.

The asset holds two searches of one file, with one trial at a time: one left alone, and one killed after its twelfth report; with the
tracking database of both, whose artifacts were in ``/searches``.
"""

import json
import sqlite3
import tarfile
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from support.commands import call

from rebnn_search.export import find_trained
from rebnn_search.training import TrainingFolder

ASSET = Path(__file__).parents[1] / "assets" / "search_0_1_0.tar.xz"
ONE = ("--set", "resources={max_concurrent: 1}")


@pytest.fixture
def old(tmp_path: Path) -> Path:
    with tarfile.open(ASSET) as archive:
        archive.extractall(tmp_path)
    columns = ("experiments", "artifact_location"), ("runs", "artifact_uri"), ("logged_models", "artifact_location")
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        for table, column in columns:
            database.execute(f"update {table} set {column} = replace({column}, '/searches/', '{tmp_path}/')")
        finished = database.execute("select artifact_uri from runs where name = 'finished'").fetchone()[0]
    artifacts = Path(finished.removeprefix("file://"))
    artifacts.mkdir(parents=True)
    kept = yaml.safe_load((tmp_path / "results" / "finished" / "search.yaml").read_text(encoding="utf-8"))
    (artifacts / "search.yaml").write_text(yaml.safe_dump(kept["search"]), encoding="utf-8")  # as at a search's end
    return tmp_path


def sequence(folder: Path) -> list[tuple[Any, ...]]:
    study = optuna.load_study(study_name=None, storage=JournalStorage(JournalFileBackend(str(folder / "study.journal"))))
    return [(t.number, t.state.name, t.params) for t in study.trials]


def test_it_goes_on(old: Path, ray_here: str) -> None:
    whole, begun = old / "results" / "finished", old / "results" / "begun"
    before = sequence(begun)
    assert [state for _, state, _ in before] == ["COMPLETE", "RUNNING"]
    uri = f"sqlite:///{old / 'mlflow.db'}"
    words = ("tiny_space.yaml", *ONE, "--resume", "--name", "begun", "--no-report", "--tracking-uri", uri, "--json")
    done = call("run", *words, cwd=old)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    # Sums may round otherwise on another CPU, and the sampler then choose otherwise: the trials that were asked for before stand.
    after = sequence(begun)
    assert [params for _, _, params in after[:4]] == [params for _, _, params in sequence(whole)[:4]]
    assert len(after) == 6 and {state for _, state, _ in after} <= {"COMPLETE", "PRUNED"}
    assert after[0] == before[0]
    with sqlite3.connect(old / "mlflow.db") as database:
        twice = database.execute("select 1 from metrics group by run_uuid, key, step having count(*) > 1").fetchone()
        search = f"select run_uuid from tags where key = 'mlflow.parentRunId' and value = '{result['parent_run_id']}'"
        runs = database.execute(f"select count(*), sum(status = 'RUNNING') from runs where run_uuid in ({search})").fetchone()
    assert twice is None
    assert runs == (6, 0)
    for number in range(6):  # every trial's folder now says what it trained
        assert TrainingFolder(begun / "trials" / f"{number:04d}").recipe_file.is_file()


def test_its_best_network_is_exported_and_its_report_drawn(old: Path) -> None:
    trained = find_trained(str(old / "results" / "finished"))
    assert trained.info.classes == [str(digit) for digit in range(10)]
    done = call("report", "finished", "--out", "out", "--tracking-uri", f"sqlite:///{old / 'mlflow.db'}", cwd=old)
    assert done.returncode == 0, done.stderr
    page = (old / "out" / "report.html").read_text(encoding="utf-8")
    assert page.count("COMPLETE") >= 2 and "Optimisation history" in page
