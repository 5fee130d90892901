"""Times on the command line, and in words."""

from __future__ import annotations

import re

from rebnn_search.base.errors import UserError

SECONDS = {"s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
PART = re.compile(r"(\d{1,9}(?:\.\d{1,9})?) ?(sec|s|min|m|h|d)", re.ASCII)
DURATION = re.compile(rf"{PART.pattern}(?: ?{PART.pattern})*", re.ASCII)
LONGEST = 10_000 * 3600
"""More than a year: no clock, timeout or timestamp on the way fails for it."""


def parse_duration(text: str, option: str) -> float:
    """The seconds that ``90s``, ``30m``, ``2h``, ``1h30m`` or ``1d`` say, or a time as `duration_text` writes it.

    Raises:
        UserError: If it says nothing of the kind, no time at all, or more than 10,000 hours; the message names the option.
    """
    seconds = 0.0
    if DURATION.fullmatch(text):
        seconds = sum(float(number) * SECONDS[unit] for number, unit in PART.findall(text))
    if not 0 < seconds <= LONGEST:
        said = text if len(text) <= 40 else f"{text[:40]}..."
        raise UserError(f"{option} {said}: expected a time such as 90s, 30m, 2h or 1h30m, at most {LONGEST // 3600}h")
    return seconds


def duration_text(seconds: float) -> str:
    """A time in words: ``45 s``, ``3 min 20 s``, ``2 h 05 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
