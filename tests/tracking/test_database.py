"""MLflow's SQLite file, cut off in its making at chosen moments, of older versions, and of other programs."""

import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from mlflow.store.db import utils
from sqlalchemy import event

from rebnn_search.config import UserError
from rebnn_search.tracking import Runs, database
from rebnn_search.tracking.database import check_writable, prepare_database

RUN = "insert into experiments (experiment_id, name, lifecycle_stage) values (7, 'gamma', 'active')"


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "SETTLE_SECONDS", 0.0)


@pytest.fixture(scope="module")
def cuts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders with an ``mlflow.db`` as a kill would have left it where MLflow makes it in place."""
    folder = tmp_path_factory.mktemp("cuts")
    engine = utils.create_sqlalchemy_engine(f"sqlite:///{folder}/mlflow.db")
    found: dict[str, Path] = {}
    before: list[str] = [""]

    @event.listens_for(engine, "before_cursor_execute")
    def cut(connection: object, cursor: object, statement: str, *rest: object) -> None:
        words = statement.split()
        wanted = {
            "first tables": statement.strip().startswith("CREATE TABLE metrics"),
            "no revision": "INSERT INTO alembic_version" in statement,
            "table copied": words[:2] == ["DROP", "TABLE"],
            "column added": "db_payload_generation" in before[0] and before[0].startswith("ALTER"),
        }
        before[0] = statement.strip()
        for name, here in wanted.items():
            if here and name not in found:
                found[name] = folder / name
                found[name].mkdir()
                for file in folder.glob("mlflow.db*"):
                    shutil.copy(file, found[name])

    utils._initialize_tables(engine)
    engine.dispose()
    return found


def tables(path: Path) -> set[tuple[str, str]]:
    with closing(sqlite3.connect(path)) as connection:
        return set(connection.execute("select name, sql from sqlite_master where name not like 'sqlite_%'"))


def test_a_new_file_is_whole_and_alone(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    prepare_database(path)
    assert [file.name for file in tmp_path.iterdir()] == ["mlflow.db"]
    inode = path.stat().st_ino
    prepare_database(path)
    assert path.stat().st_ino == inode
    assert Runs(f"sqlite:///{path}", "gamma", "id").ensure_parent("p", {})


@pytest.mark.parametrize("name", ["first tables", "no revision", "table copied", "column added"])
def test_a_file_cut_off_in_its_making_is_begun_anew(cuts: dict[str, Path], tmp_path: Path, name: str) -> None:
    work = tmp_path / "work"
    shutil.copytree(cuts[name], work)
    prepare_database(work / "mlflow.db")
    whole = cuts[name].parent / "mlflow.db"
    assert {name for name, _ in tables(work / "mlflow.db")} == {name for name, _ in tables(whole)}
    assert {file.name for file in work.iterdir()} <= {"mlflow.db", "mlflow.db.broken", "mlflow.db.broken-journal"}


def test_a_file_cut_off_with_runs_in_it_is_named_and_left(cuts: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    shutil.copy(cuts["column added"] / "mlflow.db", path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(RUN)
    before = path.read_bytes()
    with pytest.raises(UserError, match=r"mlflow\.db: cannot be migrated from revision \w+ .*: a migration was cut off in it"):
        prepare_database(path)
    assert path.read_bytes() == before and [file.name for file in tmp_path.iterdir()] == ["mlflow.db"]


def test_an_older_file_is_migrated_in_place_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mlflow.db"
    engine = utils.create_sqlalchemy_engine(f"sqlite:///{path}")
    utils.InitialBase.metadata.create_all(engine)
    with engine.begin() as connection:
        config = utils._get_alembic_config(f"sqlite:///{path}")
        config.attributes["connection"] = connection
        command.upgrade(config, "bd07f7e963c5")
    engine.dispose()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(RUN)
    with closing(sqlite3.connect(path)) as reader:  # a viewer that has it open
        reader.execute("select name from experiments").fetchall()
        prepare_database(path)
        assert reader.execute("select name, workspace from experiments").fetchall() == [("gamma", "default")]
    kept = tmp_path / "mlflow.db.bd07f7e963c5.bak"
    assert {file.name for file in tmp_path.iterdir()} == {"mlflow.db", kept.name}
    assert kept.name in capsys.readouterr().err
    assert Runs(f"sqlite:///{path}", "gamma", "id").experiment_id == "7"


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"no database at all, and long enough to be looked at" * 100, "is no SQLite database, or a damaged one"),
        ("create table trials (x)", "is another program's database"),
        (
            "create table alembic_version (version_num); insert into alembic_version values ('v9.9.9.a')",
            "'s revision|is unknown",
        ),
    ],
)
def test_what_is_not_mlflow_s_is_refused_and_left(tmp_path: Path, content: bytes | str, match: str) -> None:
    path = tmp_path / "mlflow.db"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(content)
    before = path.read_bytes()
    with pytest.raises(UserError, match=match):
        prepare_database(path)
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(UserError, match=r"cannot be used as tracking database: (disk I/O error|database or disk is full)"):
            prepare_database(tmp_path / "mlflow.db")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_a_locked_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("begin exclusive")
        with pytest.raises(UserError, match="cannot be used as tracking database: database is locked"):
            check_writable(path, 0.0)
    check_writable(path)
    assert tables(path) == set()


WORK = """
import os, signal, sys
from pathlib import Path
from mlflow.store.db import utils
from sqlalchemy import Engine, event
from rebnn_search.tracking import Runs
statements = 0
@event.listens_for(Engine, "before_cursor_execute")
def count(*rest):
    global statements
    statements += 1
    if statements == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
print("ready", flush=True)
sys.stdin.readline()
print(Runs("sqlite:///" + sys.argv[1], "gamma", sys.argv[3]).experiment_id)
"""


def start(path: Path, statements: int, search: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WORK, str(path), str(statements), search]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow(minutes=0.5)
def test_killed_in_its_making_then_made_by_two_at_once(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    killed, *both = [start(path, 700, "x"), start(path, -1, "one"), start(path, -1, "two")]
    for process in (killed, *both):
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    killed.communicate("\n")
    assert killed.returncode == -signal.SIGKILL
    assert not path.exists() and list(tmp_path.glob(f".mlflow.db.{killed.pid}.new"))
    for process in both:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    answers = [process.communicate()[0] for process in both]
    assert answers[0] == answers[1] and answers[0].strip().isdigit()
    assert [file.name for file in tmp_path.iterdir()] == ["mlflow.db"]
