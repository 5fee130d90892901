"""Ray's session folders: a search leaves none, removes those of killed ones, and touches no other."""

import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from rebnn_search.config import UserError
from rebnn_search.execution.ray.session_folder import LATEST, MARK, own_session, remove_dead_sessions


def session(parent: Path, name: str, *, marked: bool = True) -> Path:
    made = parent / f"session_{name}"
    (made / "logs").mkdir(parents=True)
    (made / "logs" / "raylet.out").write_text("a raylet", encoding="utf-8")
    if marked:
        (made / MARK).touch()
    return made


def python(code: str, *args: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", f"import sys\n{code}\nprint('ready', flush=True)\nsys.stdin.read()", *map(str, args)]
    made = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert made.stdout is not None and made.stdout.readline() == "ready\n"
    return made


def test_what_a_killed_search_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    held, named, dead = session(tmp_path, "held"), session(tmp_path, "named"), session(tmp_path, "dead")
    other = session(tmp_path, "other", marked=False)
    (tmp_path / LATEST).symlink_to(dead)
    driver = python("from filelock import FileLock\nlock = FileLock(sys.argv[1])\nlock.acquire()", held / MARK)
    raylet = python("", "--session-name", named.name)
    remove_dead_sessions(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([held, named, other])
    for process in (driver, raylet):
        process.send_signal(signal.SIGKILL)
        process.communicate()
    remove_dead_sessions(tmp_path)
    assert sorted(tmp_path.iterdir()) == [other] and (other / "logs" / "raylet.out").exists()


@pytest.mark.parametrize("error", [None, KeyboardInterrupt, UserError])
def test_a_search_that_ends_leaves_no_session(tmp_path: Path, error: type[BaseException] | None) -> None:
    mine = session(tmp_path, "mine", marked=False)
    try:
        with own_session(mine, tmp_path / "ray_logs"):
            remove_dead_sessions(tmp_path)
            assert (mine / "logs").is_dir(), "it lives"
            if error is not None:
                raise error
    except BaseException as raised:
        assert error is not None and isinstance(raised, error)
    assert list(tmp_path.iterdir()) == []


def test_one_that_raises_leaves_ray_s_logs_in_its_own_folder(tmp_path: Path) -> None:
    mine, logs = session(tmp_path, "mine", marked=False), tmp_path / "gamma-1" / "ray_logs"
    logs.mkdir(parents=True)
    (logs / "earlier").touch()
    with pytest.raises(RuntimeError), own_session(mine, logs):
        raise RuntimeError
    assert not mine.exists() and [file.name for file in logs.iterdir()] == ["raylet.out"]


@pytest.fixture
def ray_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="r", dir="/tmp"))  # a socket's path has at most 107 bytes
    yield folder
    shutil.rmtree(folder)


@pytest.mark.slow(minutes=1.5)
def test_killed_and_resumed_leaves_ray_s_folder_as_it_was(workplace, ray_folder: Path) -> None:  # type: ignore[no-untyped-def]
    workplace.variables = {"RAY_TMPDIR": str(ray_folder)}
    process = workplace.start("--name", "mine", "--trials", "2")
    for line in process.stdout:
        if "[1/2]" in line:
            break
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (left,) = ray_folder.rglob(MARK)
    workplace.run_apart("--name", "mine", "--resume")
    assert not left.exists() and not list(ray_folder.rglob("session_*"))
