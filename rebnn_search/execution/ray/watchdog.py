"""Notices that Ray's head, or its node on this machine, is gone.

Without its head Ray itself tries for a minute and then ends the process, with a word in the log at most. Without the node it is on
a driver waits for ever: no actor of it can be started any more, and those that it had ended with the node.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

import ray

POLL_SECONDS = 1.0
MISSES = 3
"""So many refused connections in a row, a poll apart, are no accident."""


@contextmanager
def watched(own: Path | None, stopping: Callable[[], bool]) -> Iterator[None]:
    """Watch the head of the Ray that is initialised, and the node that this process is on, while the body runs.

    A death is reported on stderr. If the head is this process's own it will not come back, nor will this process's node: the process
    then ends at once with exit code 1, which loses nothing that a resume needs. If it was about to stop, the code is 130: who signals
    a whole process group, as batch systems do, ends the head with it. A cluster's head may be started again, so there Ray goes on
    trying.

    Args:
        own: The session's folder, if the head is this process's own.
        stopping: Whether the user has asked for the end.
    """
    done = threading.Event()
    context = ray.get_runtime_context()
    watch = _Watch(context.gcs_address, context.get_node_id(), own, stopping)
    # Two, because asking Ray for its nodes blocks where the head is gone, for the minute after which Ray ends the process.
    looks = (watch.at_head, watch.at_node)
    threads = [threading.Thread(target=look, args=(done,), name="watchdog", daemon=True) for look in looks]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        done.set()
        for thread in threads:
            thread.join(MISSES * POLL_SECONDS)


class _Watch:
    def __init__(self, head: str, node: str, own: Path | None, stopping: Callable[[], bool]) -> None:
        self._head, self._node, self._own, self._stopping = head, node, own, stopping

    def at_head(self, done: threading.Event) -> None:
        """Look whether the head answers, again and again until it is done."""
        missed = 0
        while not done.wait(POLL_SECONDS):
            missed = 0 if self._head_answers() else missed + 1
            if missed == MISSES and self._own:
                self._end(f"Ray's head at {self._head}")
            elif missed == MISSES:
                _tell(f"Ray's head at {self._head} is gone; waiting for it to come back. Continue with --resume.")

    def at_node(self, done: threading.Event) -> None:
        """Look likewise whether the node is alive."""
        while not done.wait(POLL_SECONDS):
            if self._node_died():
                self._end("Ray's node on this machine (its raylet)")

    def _head_answers(self) -> bool:
        host, _, port = self._head.rpartition(":")
        try:
            with socket.create_connection((host.strip("[]"), int(port)), timeout=POLL_SECONDS):
                return True
        except OSError:
            return False

    def _node_died(self) -> bool:
        with suppress(Exception):  # what Ray raises where its head went at this moment is not public
            return any(node["NodeID"] == self._node and not node["Alive"] for node in ray.nodes())
        return False

    def _end(self, what: str) -> NoReturn:
        if self._stopping():
            print("stopped, with Ray by the same signal; continue with --resume", file=sys.stderr, flush=True)
            os._exit(130)
        logs = f", Ray's logs of it are in {self._own}/logs until the next search" if self._own else ""
        _tell(f"{what} is gone; this run ends here{logs}. Continue with --resume.")
        os._exit(1)


def _tell(error: str) -> None:
    print(f"error: {error}", file=sys.stderr, flush=True)
