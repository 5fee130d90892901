"""What a search found amiss in its folder and mended: a line on stderr, whatever form the result has."""

from __future__ import annotations

import sys


def notice(message: str) -> None:
    """Say it."""
    print(f"notice: {message}", file=sys.stderr, flush=True)
