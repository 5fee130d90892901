"""Ctrl-C and SIGTERM: the first stops cleanly, the second at once."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

STOPS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def signals_given_back() -> Iterator[None]:
    """Leave the handlers of `STOPS` as they were found."""
    before = {number: signal.getsignal(number) for number in STOPS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def interrupt_on_signals() -> None:
    """Let each of `STOPS` raise KeyboardInterrupt."""
    for number in STOPS:
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
            print(f"\nstopping {when}; once more to stop at once", file=sys.stderr)

    for number in STOPS:
        signal.signal(number, handle)
