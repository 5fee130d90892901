"""Ctrl-C and SIGTERM: the first stops cleanly, the second at once."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

STOPS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def held_back(*numbers: int) -> Iterator[None]:
    """Deliver signals that come to this thread meanwhile afterwards. Processes that it starts in here hold them back for good."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def signals_given_back() -> Iterator[None]:
    """Leave the handlers of `STOPS` and SIGHUP as they were found."""
    before = {number: signal.getsignal(number) for number in (*STOPS, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def interrupt_on_signals(*more: int) -> None:
    """Let each of `STOPS`, and of ``more``, raise KeyboardInterrupt."""
    for number in (*STOPS, *more):
        signal.signal(number, signal.default_int_handler)


def stop_on_signals(stop: Callable[[], None], when: str = "at the next report") -> None:
    """Let the first of `STOPS` call ``stop`` and say so on stderr, and the second raise KeyboardInterrupt.

    Args:
        stop: Asks for a clean end. Called inside the signal's handler.
        when: It will come, in words.
    """

    def handle(number: int, frame: FrameType | None) -> None:
        interrupt_on_signals()
        stop()
        # The signal may have come amid a write to stderr, whose buffer then takes no other, or when nobody reads it any more.
        with suppress(RuntimeError, OSError, ValueError):
            # Past rich's display, whose lock another thread may hold that waits for one of the interrupted frame's.
            print(f"\nstopping {when}; once more to stop at once", file=getattr(sys.stderr, "rich_proxied_file", sys.stderr))

    for number in STOPS:
        signal.signal(number, handle)
