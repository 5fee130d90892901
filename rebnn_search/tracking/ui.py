"""MLflow's UI for a tracking database, on this machine alone."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from filelock import FileLock, Timeout

from rebnn_search.base.secrets import hide_secrets
from rebnn_search.base.signals import STOPS, held_back
from rebnn_search.config import UserError

HOST = "127.0.0.1"
PORT = 5000
"""Where ``mlflow ui`` listens unless told otherwise, and the links that a search prints point."""
POLL_SECONDS = 0.2
END_SECONDS = 10.0


@contextmanager
def held_port(wanted: int | None) -> Iterator[int]:
    """A port of the loopback interface that nothing listens at: the wanted one, else `PORT`, else any.

    No other call gets it while the body runs: a server takes seconds before it listens.

    Raises:
        UserError: If the wanted one is taken, or not this user's to take.
    """
    for port in (PORT, 0, 0) if wanted is None else (wanted,):
        try:
            free = _free_port(port)
            lock = FileLock(Path(tempfile.gettempdir()) / f"rebnn_search-{os.getuid()}-port-{free}.lock", timeout=0)
            lock.acquire()
        except OSError as error:  # the lock's Timeout too
            reason = "another UI is about to" if isinstance(error, Timeout) else error.strerror
            if wanted is not None:
                raise UserError(f"--port {wanted}: cannot be listened at: {reason}") from None
            continue
        try:
            yield free
        finally:
            lock.release()
        return
    raise UserError(f"no port of {HOST} is free")


def _free_port(port: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((HOST, port))
        return int(probe.getsockname()[1])


@contextmanager
def serve_ui(uri: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """MLflow's server over a tracking database, answering; ended with the block.

    Args:
        uri: The database.
        port: Of the loopback interface.

    Raises:
        UserError: If the server ends before it answers; the message has the last line it printed.
    """
    words = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]
    # In the environment, as command lines can be read by all: the address may hold a password.
    # Its queues for jobs, of language models, are six processes that take ten seconds of a core each to start.
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    environment = {**quiet, **os.environ, "MLFLOW_BACKEND_STORE_URI": uri}
    environment.pop("MLFLOW_TRACKING_URI", None)
    with tempfile.TemporaryFile() as output:
        # In a session of its own: Ctrl-C is this process's, which ends the server and what that has started.
        server = subprocess.Popen(
            words, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            while not _answers(port):
                if server.poll() is not None:
                    raise UserError(f"MLflow's UI did not start: {_last_line(output)}")
                time.sleep(POLL_SECONDS)
            yield server
        finally:
            _end(server)


def _answers(port: int) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{HOST}:{port}/health", timeout=5):
            return True
    except OSError:
        return False


def _last_line(output: IO[bytes]) -> str:
    output.seek(0)
    lines = output.read().decode(errors="replace").strip().splitlines()
    return hide_secrets(lines[-1]) if lines else "it said nothing"


def _end(server: subprocess.Popen[bytes]) -> None:
    with held_back(*STOPS, signal.SIGHUP):  # a closed terminal's comes twice
        _end_now(server)


def _end_now(server: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        server.wait(END_SECONDS)
    with suppress(ProcessLookupError):  # whatever of it is left
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()
