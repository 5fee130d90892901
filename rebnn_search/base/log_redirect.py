"""Keeps the output of Ray, Tune and the C++ below them out of the terminal and in a file."""

from __future__ import annotations

import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

RAYS_THREADS = "ray_"
"""How the names of those of Ray's threads begin that print what the cluster tells, whatever ``log_to_driver`` says."""


@contextmanager
def redirect_output(log: Path) -> Iterator[None]:
    """Send all that is written to the process's stdout and stderr, and logged, to a file.

    ``sys.stdout`` and ``sys.stderr`` go on writing where they did: only what bypasses them (other libraries' C++, child
    processes), Python's logging and what Ray's threads print is redirected.

    Raises:
        OSError: If the file cannot be written; nothing was redirected then.
    """
    fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    out, err = sys.stdout, sys.stderr
    handler = _LogFile(log)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    moved = {
        name: _silence(logging.getLogger(name)) for name in ("ray", "ray.tune", "ray.rllib", "ray.train", "ray.serve", "optuna")
    }
    root.addHandler(handler)
    level = root.level
    root.setLevel(logging.INFO)
    replaced = _own_stream(out, saved[0], 1), _own_stream(err, saved[1], 2)
    captured = os.fdopen(os.dup(fd), "w", encoding="utf-8", errors="replace", buffering=1)
    sys.stdout, sys.stderr = (_WithoutRay(stream, captured) for stream in replaced)
    os.dup2(fd, 1)
    os.dup2(fd, 2)
    try:
        yield
    finally:
        for stream in replaced:
            stream.flush()
        os.dup2(saved[0], 1)
        os.dup2(saved[1], 2)
        sys.stdout, sys.stderr = out, err
        root.removeHandler(handler)
        root.setLevel(level)
        for name, (handlers, propagate) in moved.items():
            logging.getLogger(name).handlers, logging.getLogger(name).propagate = handlers, propagate
        handler.close()
        for descriptor in saved:
            os.close(descriptor)
        os.close(fd)  # a thread of Ray's may still hold the stream over its copy


@contextmanager
def quiet_imports() -> Iterator[None]:
    """Keep from the user what libraries say while they are imported: in a notebook, that they would like widgets."""
    before = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="IProgress not found")  # tqdm's, which Optuna and Ray import
            yield
    finally:
        logging.disable(before)


class _LogFile(logging.FileHandler):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Drop what cannot be written: a full disk is reported by those it matters to."""


class _WithoutRay:
    """A stream on which Ray's threads do not write.

    They look for ``sys.stdout`` at the time they print: that a worker died, say, before the one JSON object a program reads.
    """

    def __init__(self, stream: TextIO, captured: TextIO) -> None:
        self._stream, self._captured = stream, captured

    def write(self, text: str) -> int:
        """Write where the thread's words belong. Returns the number of characters."""
        rays = threading.current_thread().name.startswith(RAYS_THREADS)
        return (self._captured if rays else self._stream).write(text)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


def _own_stream(stream, fd: int, number: int):  # type: ignore[no-untyped-def]
    """A stream that keeps writing to the terminal, where the given one wrote to the descriptor about to be redirected."""
    try:
        if stream.fileno() != number:
            return stream
    except (AttributeError, OSError, ValueError):
        return stream
    return os.fdopen(os.dup(fd), "w", encoding=stream.encoding, errors=stream.errors, buffering=1)


def _silence(logger: logging.Logger) -> tuple[list[logging.Handler], bool]:
    before = logger.handlers, logger.propagate
    logger.handlers, logger.propagate = [], True
    return before
