"""Times on the command line."""

from __future__ import annotations

import re

from rebnn_search.config.errors import UserError

SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def parse_duration(text: str, option: str) -> float:
    """The seconds that ``90s``, ``30m``, ``2h`` or ``1h30m`` say.

    Raises:
        UserError: If it says nothing of the kind, or no time at all; the message names the option.
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)([smh])", text)
    seconds = sum(float(count) * SECONDS[unit] for count, unit in parts)
    if "".join(count + unit for count, unit in parts) != text or seconds <= 0:
        raise UserError(f"{option} {text}: expected a time such as 90s, 30m, 2h or 1h30m")
    return seconds
