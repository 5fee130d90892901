"""What holds for every test.

One thread for torch, here and in every process a test starts: sums split over other numbers of threads round otherwise.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"

from collections.abc import Iterator

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def no_tracking_uri_is_left_behind() -> Iterator[None]:
    """MLflow's own functions leave the URI they are given in the environment, where the processes of later tests would find it."""
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    yield
    os.environ.pop("MLFLOW_TRACKING_URI", None)
