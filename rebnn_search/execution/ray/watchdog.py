"""Notices that Ray's head is gone: Ray itself tries for a minute and then ends the process, with a word in the log at most."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ray

POLL_SECONDS = 1.0
MISSES = 3
"""So many refused connections in a row, a poll apart, are no accident."""


@contextmanager
def watched_gcs(own: Path | None) -> Iterator[None]:
    """Watch the head of the Ray that is initialised while the body runs.

    Its death is reported on stderr. If the head is this process's own it will not come back: the process then ends at once with exit
    code 1, which loses nothing that a resume needs. A cluster's head may be started again, so there Ray goes on trying.

    Args:
        own: The session's folder, if the head is this process's own.
    """
    host, _, port = ray.get_runtime_context().gcs_address.rpartition(":")
    done = threading.Event()
    thread = threading.Thread(target=_watch, args=(host.strip("[]"), int(port), own, done), name="head", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _watch(host: str, port: int, own: Path | None, done: threading.Event) -> None:
    missed = 0
    while not done.wait(POLL_SECONDS):
        try:
            with socket.create_connection((host, port), timeout=POLL_SECONDS):
                missed = 0
        except OSError:
            missed += 1
        if missed == MISSES:
            here = f"this run ends here, Ray's logs of it are in {own}/logs until the next search"
            end = here if own else "waiting for it to come back"
            print(f"error: Ray's head at {host}:{port} is gone; {end}. Continue with --resume.", file=sys.stderr, flush=True)
            if own:
                os._exit(1)
