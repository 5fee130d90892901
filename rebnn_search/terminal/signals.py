"""Ctrl-C and SIGTERM while a search runs."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from types import FrameType


def stop_on_signals(stop: Callable[[], None]) -> None:
    """Let the first SIGINT or SIGTERM stop the search cleanly and the second one at once."""

    def handle(number: int, frame: FrameType | None) -> None:
        print("\nstopping at the next reports; once more to stop at once", file=sys.stderr)
        stop()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.default_int_handler)

    signal.signal(signal.SIGINT, handle)
    signal.signal(signal.SIGTERM, handle)
