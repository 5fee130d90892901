"""Tracking off the scheduling loop: what is to be logged waits in a queue and one thread sends it, reports several at once.

The server may be away for a while: the thread tries again and the queue grows. What never arrived is sent on the next resume,
from the reports that the driver keeps.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping

from rebnn_search.base.secrets import hide_secrets
from rebnn_search.config import UserError
from rebnn_search.tracking.runs import Point, Runs

logger = logging.getLogger(__name__)

RETRY_SECONDS = (0.5, 1.0, 2.0, 5.0)
"""Pauses between tries; the last one repeats."""

BATCH_SECONDS = 5.0
"""How long a report may wait for others to be sent with: a call costs the database, and the core it shares with a trial, 20 ms."""

Job = Callable[[Runs], object]


class Tracker:
    """Sends a search's parameters, points and ends to MLflow in the order given.

    Args:
        connect: Makes the runs (opening, or creating, the database). Called on the thread at once, so that the seconds a new
            database takes pass while Ray starts.
    """

    def __init__(self, connect: Callable[[], Runs]) -> None:
        self._queue: queue.Queue[Job | tuple[int, Point] | None] = queue.Queue()
        self._runs: Runs | None = None
        self._error: BaseException | None = None
        self._ready = threading.Event()
        self._giving_up = threading.Event()
        self.trouble: str | None = None
        self._thread = threading.Thread(target=self._work, args=(connect,), name="tracker", daemon=True)
        self._thread.start()

    def wait_ready(self) -> Runs:
        """Wait for the connection.

        Raises:
            Exception: Whatever kept it from coming about.
        """
        self._ready.wait()
        if self._error is not None:
            raise self._error
        assert self._runs is not None
        return self._runs

    def connected(self, uri: str) -> Runs:
        """Wait for the connection, at the start of a command.

        Args:
            uri: What the user knows it by.

        Raises:
            UserError: If it did not come about; the message says why.
        """
        try:
            return self.wait_ready()
        except UserError:
            raise
        except Exception as error:  # MLflow, SQLAlchemy and the database's driver each raise their own
            reason = hide_secrets(f"{type(error).__name__}: {_words(error)}".splitlines()[0])
            raise UserError(f"--tracking-uri {hide_secrets(uri)}: cannot be used: {reason}") from error

    def _work(self, connect: Callable[[], Runs]) -> None:
        try:
            self._runs = connect()
        except Exception as error:
            self._error = error
            return
        finally:
            self._ready.set()
        points: dict[int, list[Point]] = {}
        due = 0.0
        while True:
            try:
                job = self._queue.get(timeout=max(0.0, due - time.monotonic()) if points else None)
            except queue.Empty:
                self._send_points(points, self._runs)
                continue
            if isinstance(job, tuple):
                due = due if points else time.monotonic() + BATCH_SECONDS
                points.setdefault(job[0], []).append(job[1])
                continue
            self._send_points(points, self._runs)
            if job is None:
                return
            self._send(job, self._runs)

    def _send_points(self, points: dict[int, list[Point]], runs: Runs) -> None:
        for number, some in points.items():
            self._send(lambda runs, number=number, some=some: runs.log(runs.children[number], some), runs)  # type: ignore[misc]
        points.clear()

    def _send(self, job: Job, runs: Runs) -> None:
        attempt = 0
        while not self._giving_up.is_set():
            try:
                job(runs)
            except Exception as error:
                self.trouble = hide_secrets(f"{type(error).__name__}: {error}".splitlines()[0])
                logger.warning("tracking failed, trying again: %s", self.trouble)
                self._giving_up.wait(RETRY_SECONDS[min(attempt, len(RETRY_SECONDS) - 1)])
                attempt += 1
            else:
                self.trouble = None
                return

    def start(self, number: int, name: str, params: Mapping[str, object], tags: Mapping[str, str] | None = None) -> None:
        """Make or find the run of a trial."""
        self._queue.put(lambda runs: runs.ensure_child(number, name, params, tags))

    def log(self, number: int, point: Point) -> None:
        """Log one report of a trial that was started: within `BATCH_SECONDS`, or before whatever else is sent."""
        self._queue.put((number, point))

    def end(self, number: int, state: str, tags: Mapping[str, str], summary: Mapping[str, float]) -> None:
        """End the run of a trial."""
        self._queue.put(lambda runs: runs.end(runs.children[number], state, tags, summary))

    def do(self, job: Job) -> None:
        """Do anything else in its turn. The job must be fit to be done twice."""
        self._queue.put(job)

    def reached(self, timeout: float) -> bool:
        """Wait until all that was given so far is done. False if that took longer than ``timeout`` seconds."""
        done = threading.Event()
        self._queue.put(lambda runs: done.set())
        return done.wait(timeout)

    def close(self, timeout: float) -> bool:
        """Do what is left and stop. False if it could not all be done in ``timeout`` seconds."""
        self._queue.put(None)
        deadline = time.monotonic() + timeout
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._thread.is_alive():
            self._giving_up.set()
            return False
        return True


def _words(error: BaseException) -> str:
    """What an error says: where a database's lies below it, what that says, without SQLAlchemy's remarks before it."""
    from sqlalchemy.exc import DBAPIError  # half a second, which `--help` need not wait for

    below: BaseException | None = error
    while below is not None:
        if isinstance(below, DBAPIError):
            return str(below.orig)
        below = below.__cause__ or below.__context__
    return str(error)
