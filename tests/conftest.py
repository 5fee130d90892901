"""What holds for every test.

One thread for torch, here and in every process a test starts: sums split over other numbers of threads round otherwise.
"""

import getpass
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"  # six more processes beside each server
os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - Ray's spelling; workers of a search that is waited for go before tests that are not
os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"  # where the tests' servers are, whatever proxy there is
os.environ["TERM"] = "xterm"
os.environ["REBNN_SEARCH_CACHE"] = "off"  # nothing of the user's is read or written
# Inductor finds what it compiled for one instruction set when it compiles for another, and then cannot build it.
if _capability := os.environ.get("ATEN_CPU_CAPABILITY"):
    _compiled = Path(tempfile.gettempdir()) / f"torchinductor_{getpass.getuser()}_{_capability}"
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(_compiled))

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, settings
from support.commands import start_ray, stop_ray
from support.once import Once, once_for_all_workers

torch.set_num_threads(1)
for _name in ("FORCE_COLOR", "NO_COLOR", "COLUMNS", "LINES", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
    os.environ.pop(_name, None)
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


BEGUN = time.monotonic()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--minutes", type=float, default=0.0, help="leave out slow tests that would not end in so many; 0: none")


def pytest_configure(config: pytest.Config) -> None:
    if "not gpu" in config.getoption("markexpr"):
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # an accelerator adds in another order, and is for the tests that ask for one


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if "one_ray" in getattr(item, "fixturenames", ()):
            item.add_marker("ray")
    # The longest first: a worker that began one last would be waited for. What is given a time comes after them: the first of a fresh
    # environment also compiles all that it imports. Of more than there is time for the shortest first: then most of it is seen.
    sign = -1 if config.getoption("--minutes") else 1
    items.sort(key=lambda item: (sign * _minutes(item), _searches(item) and not _timed(item)), reverse=True)


def _searches(item: pytest.Item) -> bool:
    return item.get_closest_marker("ray") is not None or "workplace" in getattr(item, "fixturenames", ())


def _timed(item: pytest.Item) -> bool:
    return "tests/auto/" in item.nodeid or "test_budget" in item.nodeid


_BEGUN = pytest.StashKey[bool]()


def _give_way(item: pytest.Item) -> None:
    """Let the worker that was dealt the searches, which is waited for at the end, go before the others."""
    if _BEGUN not in item.config.stash:
        item.config.stash[_BEGUN] = True
        if "PYTEST_XDIST_WORKER" in os.environ and not _searches(item):
            os.nice(5)


def pytest_runtest_setup(item: pytest.Item) -> None:
    _give_way(item)
    given = item.config.getoption("--minutes")
    left = given - (time.monotonic() - BEGUN) / 60
    if given and _minutes(item) > left:
        pytest.skip(f"takes about {_minutes(item):g} minutes, {max(left, 0):.0f} of {given:g} are left")


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object | None) -> None:
    """Says how a worker ended that should not have: a negative code is the signal, another is a library's or a test's exit."""
    if error:
        print(f"\n{node.gateway.id}: {error}; code {node.gateway._io.popen.wait(10)}", file=sys.__stderr__, flush=True)


def _minutes(item: pytest.Item) -> float:
    slow = item.get_closest_marker("slow")
    return 0.0 if slow is None else float(slow.kwargs.get("minutes", 5.0))


@pytest.fixture(autouse=True)
def no_tracking_uri_is_left_behind() -> Iterator[None]:
    """MLflow's own functions leave the URI they are given in the environment, where the processes of later tests would find it."""
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    yield
    os.environ.pop("MLFLOW_TRACKING_URI", None)


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """Makes a folder once for all workers of the test run: ``once(name, make)``."""
    return once_for_all_workers(tmp_path_factory)


@pytest.fixture(scope="session")
def one_ray() -> Iterator[None]:
    """What a test asks for that calls searches in this process: the first starts Ray, and its end is the session's."""
    yield
    stop_ray()


@pytest.fixture
def ray_here(one_ray: None) -> str:
    """The address of this process's one Ray, which searches called in this process use. A test may stop it: it is started anew."""
    return start_ray()


@pytest.fixture
def logical_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a node of Ray's count GPUs that the machine does not have, which it refuses where they are hidden."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.fixture(scope="session")
def tracking_database(once: Once) -> Path:
    """An MLflow database without runs, to be copied: MLflow takes seconds to make one."""
    from rebnn_search.tracking.client import make_client

    folder = once("tracking", lambda folder: make_client(f"sqlite:///{folder / 'mlflow.db'}").search_experiments())
    return folder / "mlflow.db"


@pytest.fixture
def tracking_uri(tmp_path: Path, tracking_database: Path) -> str:
    """An MLflow database of the test's own, without runs, in its folder."""
    shutil.copy(tracking_database, tmp_path)
    return f"sqlite:///{tmp_path / 'mlflow.db'}"
