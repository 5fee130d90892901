"""Sending to MLflow on the tracker's thread: again where it fails, reports several at once, one trial's trouble set aside."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from rebnn_search.base.secrets import hide_secrets
from rebnn_search.tracking.runs import Point, Runs

logger = logging.getLogger(__name__)

RETRY_SECONDS = (0.5, 1.0, 2.0, 5.0)
"""Pauses between tries; the last one repeats."""

Job = Callable[[Runs], object]


class Sending:
    """What has been taken from the queue and not yet arrived.

    Args:
        runs: Where to.
        giving_up: Set when nothing more is to be tried.
        batch_seconds: How long a point may wait for others.
    """

    def __init__(self, runs: Runs, giving_up: threading.Event, batch_seconds: float) -> None:
        self._runs, self._giving_up, self._batch_seconds = runs, giving_up, batch_seconds
        self._points: dict[int, list[Point]] = {}
        self._points_due = 0.0
        self._aside: dict[int, list[Job]] = {}
        self._aside_due = 0.0
        self._dropped: set[int] = set()
        self.trouble: str | None = None

    def begin(self, number: int, job: Job) -> None:
        """Send the points so far and do a job that makes or finds a trial's run, trying until both succeed."""
        self._dropped.discard(number)
        self.send(job)

    def collect(self, number: int, point: Point) -> None:
        """Keep a trial's point for the next call."""
        if number in self._dropped:
            return
        if not self._points:
            self._points_due = time.monotonic() + self._batch_seconds
        self._points.setdefault(number, []).append(point)

    def send(self, job: Job) -> None:
        """Send the points so far and do a job, trying until both succeed."""
        self._send_points()
        self._until_done(job)

    def send_or_set_aside(self, number: int, job: Job) -> None:
        """Send the points so far, and do a job of one trial. Where it fails, or others of that trial wait, it waits with them."""
        self._send_points()
        self._of_trial(number, job)

    def send_due(self) -> float | None:
        """Send what has waited long enough. Returns when the next of it will have, in monotonic seconds; None where nothing waits."""
        if self._points and time.monotonic() >= self._points_due:
            self._send_points()
        if self._aside and time.monotonic() >= self._aside_due:
            self._try_aside()
        waiting = [due for kept, due in ((self._points, self._points_due), (self._aside, self._aside_due)) if kept]
        return min(waiting, default=None)

    def send_all(self) -> None:
        """Send all that waits, trying until it succeeds."""
        self._send_points()
        while self._aside and not self._giving_up.is_set():
            self._try_aside()
            if self._aside:
                self._giving_up.wait(RETRY_SECONDS[-1])

    def _try_aside(self) -> None:
        """Do what waits aside up to the first that fails again. Its trial goes to the end: it may be that trial's trouble alone."""
        for number in list(self._aside):
            jobs = self._aside.pop(number)
            while jobs and self._done(jobs[0]):
                del jobs[0]
            if jobs and not self._drops(number):
                self._aside[number] = jobs
                break
        self._aside_due = time.monotonic() + RETRY_SECONDS[-1]

    def _send_points(self) -> None:
        for number, some in self._points.items():
            self._of_trial(number, lambda runs, number=number, some=some: runs.log(runs.children[number], some))  # type: ignore[misc]
        self._points.clear()

    def _of_trial(self, number: int, job: Job) -> None:
        if number in self._dropped:
            return
        if number in self._aside:
            self._aside[number].append(job)
        elif not self._done(job) and not self._drops(number):
            self._aside[number] = [job]
            self._aside_due = time.monotonic() + RETRY_SECONDS[-1]

    def _drops(self, number: int) -> bool:
        """Whether a trial's run has been deleted: nothing can be sent to it, and it is made again when the search is resumed."""
        if self._runs.was_deleted(number):
            self._dropped.add(number)
            self.trouble = self.trouble if self._aside else None
            logger.warning("the run of trial %d was deleted: what is left of the trial is not tracked until a resume", number)
        return number in self._dropped

    def _until_done(self, job: Job) -> None:
        attempt = 0
        while not self._giving_up.is_set() and not self._done(job):
            self._giving_up.wait(RETRY_SECONDS[min(attempt, len(RETRY_SECONDS) - 1)])
            attempt += 1

    def _done(self, job: Job) -> bool:
        try:
            job(self._runs)
        except Exception as error:
            self.trouble = hide_secrets(f"{type(error).__name__}: {error}".splitlines()[0])
            logger.warning("tracking failed, trying again: %s", self.trouble)
            return False
        if not self._aside:
            self.trouble = None
        return True
