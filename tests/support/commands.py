"""The project's commands called in this process: what they print and how they end, without a start of Python, torch and Ray each."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout, suppress
from importlib import import_module
from io import StringIO
from pathlib import Path

from rebnn_search.base.errors import exit_on_user_error

CORES = 2
"""As many as Ray is told of, so that as many trials run at a time on every machine."""


def entry(module: str) -> Callable[[list[str]], int]:
    """The body of ``python -m rebnn_search.MODULE``."""
    found = import_module(f"rebnn_search.{module}")
    body: Callable[[list[str]], int] = (
        import_module(f"{found.__name__}.__main__") if hasattr(found, "__path__") else found
    ).main
    return body


def call(module: str, *words: object, cwd: Path, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Do what ``python -m rebnn_search.MODULE WORDS...`` does, in a directory; searches use this process's one Ray."""
    out, err = StringIO(), StringIO()
    code: object = None
    with chdir(cwd), _environment({"COLUMNS": "200", **(env or {})}), _handlers(), redirect_stdout(out), redirect_stderr(err):
        try:
            exit_on_user_error(lambda: entry(module)([str(word) for word in words]))
        except SystemExit as end:
            code = end.code
    assert isinstance(code, int)
    return subprocess.CompletedProcess([module, *map(str, words)], code, out.getvalue(), err.getvalue())


def start_ray() -> str:
    """Start this process's one Ray, if it is not there, for all searches that are called in it; return its address."""
    import ray

    from rebnn_search.execution.ray.executor import ENVIRONMENT

    if not ray.is_initialized():
        os.environ.update(ENVIRONMENT)
        ray.init(
            address="local", num_cpus=CORES, include_dashboard=False, log_to_driver=False, logging_level="warning",
            object_store_memory=10**8,
        )  # fmt: skip
    address: str = ray.get_runtime_context().gcs_address
    return address


def stop_ray() -> None:
    """Stop it, with what it keeps on the disk; nothing where there is none."""
    import ray

    if ray.is_initialized():
        folder = ray._private.worker._global_node.get_session_dir_path()  # nothing public tells
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _handlers() -> Iterator[None]:
    numbers = signal.SIGINT, signal.SIGTERM
    before = [signal.getsignal(number) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            with suppress(ValueError):  # not the main thread: then the command set none
                signal.signal(number, handler)
