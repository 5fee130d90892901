"""Commands and functions in processes of their own that begin where Python, torch, Ray and MLflow are imported already.

They are forked from a server that has done nothing but import: what runs in one is as fresh as in a process of ``python -m``, with
its own descriptors, signals and death, and it begins in milliseconds where that takes five seconds of a core.
"""

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType
from typing import Any, TextIO

from ray._raylet import Config  # nothing public does it

from rebnn_search.base.errors import exit_on_user_error
from support.commands import entry

IMPORTED = [
    "rebnn_search.execution.ray.executor",
    "rebnn_search.execution.opening",
    "rebnn_search.refit",
    "rebnn_search.train",
    "rebnn_search.terminal",
    "mlflow",
    "sklearn.datasets",
    "torch._dynamo",  # which an optimizer imports at its first use
]
CONTEXT = multiprocessing.get_context("forkserver")
"""Whose queues and locks such processes can be given."""
CONTEXT.set_forkserver_preload(IMPORTED)


class Forked:
    """``python -m rebnn_search.MODULE WORDS...``, begun: the part of `subprocess.Popen` that tests need.

    Args:
        module: The command's.
        words: Its arguments.
        cwd: The directory it runs in.
        env: Its whole environment.
        apart: Whether stderr has a pipe of its own; else it goes where stdout goes.
        prepare: Called in the new process with ``prepared`` before the command; must be importable there.
        prepared: Its arguments.
    """

    def __init__(
        self,
        module: str,
        *words: str,
        cwd: Path,
        env: Mapping[str, str] | None = None,
        apart: bool = False,
        prepare: Callable[..., None] | None = None,
        prepared: tuple[Any, ...] = (),
    ) -> None:
        pipes = [CONTEXT.Pipe(duplex=False) for _ in range(1 + apart)]
        arguments = (module, words, str(cwd), dict(env or os.environ), [end for _, end in pipes], prepare, prepared)
        self._process = CONTEXT.Process(target=_run, args=arguments, daemon=False)
        self._process.start()
        for _, end in pipes:
            end.close()
        streams = [os.fdopen(os.dup(end.fileno()), encoding="utf-8", errors="replace") for end, _ in pipes]
        for end, _ in pipes:
            end.close()
        self.stdout: TextIO = streams[0]
        self.stderr: TextIO | None = streams[1] if apart else None
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    @property
    def returncode(self) -> int | None:
        """As `subprocess.Popen` has it; None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self._process.exitcode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
        return code

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """The rest of what it writes, and wait for its end. ``timeout`` counts from the end of its output."""
        out = self.stdout.read()
        err = "" if self.stderr is None else self.stderr.read()
        self.wait(timeout)
        return out, err


def forked(module: str, *words: object, cwd: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command to its end in a forked process."""
    process = Forked(module, *map(str, words), cwd=cwd, apart=True, **options)
    out, err = process.communicate()
    assert process.returncode is not None
    return subprocess.CompletedProcess([module, *map(str, words)], process.returncode, out, err)


def forked_code(code: str) -> int:
    """What ``python -c CODE`` does, in a forked process. Returns how it ended."""
    process = begun(_run_code, code, daemon=False)
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def begun(function: Callable[..., object], *args: Any, daemon: bool = True) -> BaseProcess:
    """Call a function in a forked process that has the environment of this one. It must be importable there."""
    process = CONTEXT.Process(target=_called, args=(dict(os.environ), function, args), daemon=daemon)
    process.start()
    return process


def _called(env: dict[str, str], function: Callable[..., object], args: tuple[Any, ...]) -> None:
    os.environ.clear()
    os.environ.update(env)
    function(*args)


def _run_code(code: str) -> None:
    sys.modules["__main__"] = module = ModuleType("__main__")
    exec(compile(code, "<string>", "exec"), module.__dict__)


def _run(
    module: str, words: tuple[str, ...], cwd: str, env: dict[str, str], pipes: list[Connection],
    prepare: Callable[..., None] | None, prepared: tuple[Any, ...],
) -> None:  # fmt: skip
    os.dup2(pipes[0].fileno(), 1)
    os.dup2(pipes[-1].fileno(), 2)
    os.environ.clear()
    os.environ.update(env)
    Config.initialize("")  # as at its import, from which Ray keeps whether it shows a token
    os.chdir(cwd)
    sys.stdin = Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115 - for the process's life
    sys.stdout, sys.stderr = (os.fdopen(os.dup(number), "w", encoding="utf-8", buffering=1) for number in (1, 2))
    for pipe in pipes:
        pipe.close()
    sys.argv = [module, *words]
    if prepare is not None:
        prepare(*prepared)
    if module.startswith("cli."):  # a verb that goes by no other name
        exit_on_user_error(lambda: entry(module)(list(words)))
    name = f"rebnn_search.{module}"
    if not hasattr(sys.modules.get(name), "__path__"):
        sys.modules.pop(name, None)  # of a module that is there already runpy warns
    runpy.run_module(name, run_name="__main__", alter_sys=True)
