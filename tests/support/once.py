"""What several tests may share though each takes long to make, once for all workers of a test run."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

Once = Callable[[str, Callable[[Path], object]], Path]


def once_for_all_workers(factory: pytest.TempPathFactory) -> Once:
    """Return a function that makes a folder by its name, or waits for the worker that is making it.

    What makes it is given the folder, which is there and empty. Nobody may change what is in it afterwards: copy it.
    """
    base = factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def once(name: str, make: Callable[[Path], object]) -> Path:
        folder, made = base / name, base / f"{name}.made"
        with FileLock(base / f"{name}.lock"):
            if not made.exists():
                shutil.rmtree(folder, ignore_errors=True)  # of one that failed: whoever asks again is to see why
                folder.mkdir()
                make(folder)
                made.touch()
        return folder

    return once
