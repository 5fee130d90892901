"""Dates and times as numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

import numpy as np

from rebnn_search.training.data.tables.cells import Array

DateOrder = Literal["iso", "dmy", "mdy"]
"""ISO 8601 (also with slashes), or day, month and year in this order with points, slashes or hyphens between them."""
Part = Literal["time", "month", "weekday", "hour"]
PARTS: tuple[Part, ...] = ("time", "month", "weekday", "hour")
"""What a date is made into: seconds since 1970 (UTC), month from 1, day of the week from Monday, 0, and hour with its fraction."""
ORDERS: dict[DateOrder, str] = {"iso": "year-month-day", "dmy": "day.month.year", "mdy": "month/day/year"}
"""In words."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ISO = re.compile(r"\d{4}[-/]\d{1,2}[-/]\d{1,2}(?:[T ].*)?")
_SHORT = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})")
_OTHER = re.compile(r"(\d{1,2})([./-])(\d{1,2})\2(\d{4})(?:[ T]+(\d{1,2}):(\d{2})(?::(\d{2}))?)?")


def date_parts(cells: Sequence[str], order: DateOrder) -> Array:
    """The parts (n, 4) float64 of dates, as `PARTS`; NaN for what is missing, or no date in this order or ISO 8601's."""
    known = {cell: _parts(cell, order) for cell in set(cells)}
    return np.array([known[cell] for cell in cells], dtype=np.float64).reshape(len(cells), len(PARTS))


def _parts(cell: str, order: DateOrder) -> tuple[float, float, float, float]:
    try:
        # Nothing else begins with a year of four digits, so that it is read whatever the order is.
        found = _iso(cell) if order == "iso" or _ISO.fullmatch(cell) else _ordered(cell, order)
        if found is None:
            return (np.nan,) * 4
        when = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):  # an end of time with an offset lies beyond it
        return (np.nan,) * 4
    hour = found.hour + found.minute / 60 + found.second / 3600
    return (when - _EPOCH).total_seconds(), found.month, found.weekday(), hour


def _iso(cell: str) -> datetime | None:
    if not _ISO.fullmatch(cell):
        return None
    cell = cell.replace("/", "-")
    short = _SHORT.match(cell)
    assert short is not None
    return datetime.fromisoformat("{}-{:0>2}-{:0>2}".format(*short.groups()) + cell[short.end() :])


def _ordered(cell: str, order: DateOrder) -> datetime | None:
    found = _OTHER.fullmatch(cell)
    if found is None:
        return None
    first, _, second, year, hour, minute, seconds = found.groups(default="0")
    day, month = (first, second) if order == "dmy" else (second, first)
    return datetime(int(year), int(month), int(day), int(hour), int(minute), int(seconds))
