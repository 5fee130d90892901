"""What holds for every test.

One thread for torch, here and in every process a test starts: sums split over other numbers of threads round otherwise.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from support.commands import start_ray, stop_ray
from support.once import Once, once_for_all_workers

torch.set_num_threads(1)


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
def _ray_s_end() -> Iterator[None]:
    yield
    stop_ray()


@pytest.fixture
def ray_here(_ray_s_end: None) -> str:
    """The address of this process's one Ray, which searches called in this process use. A test may stop it: it is started anew."""
    return start_ray()


@pytest.fixture(scope="session")
def tracking_database(once: Once) -> Path:
    """An MLflow database without runs, to be copied: MLflow takes seconds to make one."""
    from rebnn_search.tracking.client import make_client

    folder = once("tracking", lambda folder: make_client(f"sqlite:///{folder / 'mlflow.db'}").search_experiments())
    return folder / "mlflow.db"
