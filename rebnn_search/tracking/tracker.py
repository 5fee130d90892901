"""Tracking off the scheduling loop: what is to be logged waits in a queue and one thread sends it, reports several at once.

The server may be away for a while: the thread tries again and the queue grows. What never arrived is sent on the next resume,
from the reports that the driver keeps.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping

from rebnn_search.base.secrets import hide_secrets
from rebnn_search.config import UserError
from rebnn_search.tracking.runs import Point, Runs
from rebnn_search.tracking.sending import Job, Sending

BATCH_SECONDS = 5.0
"""How long a report may wait for others to be sent with: a call costs the database, and the core it shares with a trial, 20 ms."""


class Tracker:
    """Sends a search's parameters, points and ends to MLflow in the order given.

    What is sent of a trial once it has a run may come later than in its turn: where it fails, it waits aside with what else comes of
    that trial, and the others' is sent. So a store of files that fails in mid-search, where MLflow itself answers, keeps runs open
    and holds up nothing else; and a run that somebody deletes is one trial's loss.

    Args:
        connect: Makes the runs (opening, or creating, the database). Called on the thread at once, so that the seconds a new
            database takes pass while Ray starts.
    """

    def __init__(self, connect: Callable[[], Runs]) -> None:
        self._queue: queue.Queue[Callable[[Sending], object] | None] = queue.Queue()
        self._runs: Runs | None = None
        self._error: BaseException | None = None
        self._ready = threading.Event()
        self._giving_up = threading.Event()
        self._sending: Sending | None = None
        self._thread = threading.Thread(target=self._work, args=(connect,), name="tracker", daemon=True)
        self._thread.start()

    @property
    def connecting(self) -> bool:
        """Whether the connection has neither come about nor failed yet: nothing can have been sent."""
        return not self._ready.is_set()

    @property
    def trouble(self) -> str | None:
        """What keeps tracking from what it is to send; None where nothing does."""
        return None if self._sending is None else self._sending.trouble

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
            self._sending = Sending(self._runs, self._giving_up, BATCH_SECONDS)
        except Exception as error:
            self._error = error
            return
        finally:
            self._ready.set()
        while True:
            due = self._sending.send_due()
            try:
                given = self._queue.get(timeout=None if due is None else max(0.0, due - time.monotonic()))
            except queue.Empty:
                continue
            if given is None:
                self._sending.send_all()
                return
            given(self._sending)

    def start(self, number: int, name: str, params: Mapping[str, object], tags: Mapping[str, str] | None = None) -> None:
        """Make or find the run of a trial."""
        self.begin(number, lambda runs: runs.ensure_child(number, name, params, tags))

    def begin(self, number: int, job: Job) -> None:
        """Do what makes or finds the run of a trial, in its turn. The job must be fit to be done twice."""
        self._queue.put(lambda sending: sending.begin(number, job))

    def log(self, number: int, point: Point) -> None:
        """Log one report of a trial that was started: within `BATCH_SECONDS`, or before whatever else is sent."""
        self._queue.put(lambda sending: sending.collect(number, point))

    def do(self, job: Job) -> None:
        """Do anything else in its turn. The job must be fit to be done twice."""
        self._queue.put(lambda sending: sending.send(job))

    def end(self, number: int, job: Job) -> None:
        """Do what comes of a trial after all its reports: its files, its run's end. It may come later than in its turn, though
        never before what was given of the same trial. The job must be fit to be done twice.
        """
        self._queue.put(lambda sending: sending.send_or_set_aside(number, job))

    def finish(self, job: Job) -> None:
        """Do something after all that was given before, set aside or not."""
        self._queue.put(Sending.send_all)
        self.do(job)

    def reached(self, timeout: float) -> bool:
        """Wait for the turn of what is given now. False if that took longer than ``timeout`` seconds."""
        done = threading.Event()
        self._queue.put(lambda sending: done.set())
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
