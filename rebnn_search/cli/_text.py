"""How numbers are written for people."""

from __future__ import annotations

UNITS = ("B", "kB", "MB", "GB", "TB")
STEP = 1000.0


def size_text(size: float) -> str:
    """A number of bytes: ``812 B``, ``1.3 MB``, ``24 GB``."""
    place = 0
    while size >= STEP and place < len(UNITS) - 1:
        size, place = size / STEP, place + 1
    return f"{size:.1f} {UNITS[place]}" if place and size < 10 else f"{size:.0f} {UNITS[place]}"


def count_text(count: int, what: str) -> str:
    """As ``1 trial`` or ``4 trials``."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"
