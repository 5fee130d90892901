"""What a cell's text means: nothing, a number, or one of two truths."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

Array = np.ndarray[Any, Any]
Decimal = Literal[".", ","]
"""What stands before a number's decimals. Thousands may be apart by a blank, an apostrophe, or the other of the two."""

DECIMALS: tuple[Decimal, ...] = (".", ",")

MISSING = frozenset({"", "na", "n/a", "#n/a", "<na>", "nan", "-nan", "nat", "null", "none", "?", ".", "-", "--"})
"""What stands for no value, in lower case."""
TRUE, FALSE = frozenset({"true", "yes", "y", "t", "on"}), frozenset({"false", "no", "n", "f", "off"})
TRUTHS = (("true", "false"), ("yes", "no"), ("y", "n"), ("t", "f"), ("on", "off"))
_GROUPED = {
    ".": re.compile(r"[+-]?[1-9]\d{0,2}(?:(?:,\d{3})+|(?: \d{3})+|(?:['’]\d{3})+)(?:\.\d*)?"),
    ",": re.compile(r"[+-]?[1-9]\d{0,2}(?:(?:\.\d{3})+|(?: \d{3})+|(?:['’]\d{3})+)(?:,\d*)?"),
}
_PLAIN_COMMA = re.compile(r"[+-]?(?:\d+(?:,\d*)?|,\d+)(?:[eE][+-]?\d+)?")
_APART = {".": str.maketrans("", "", ", '’"), ",": str.maketrans(",", ".", ". '’")}


def is_missing(cell: str) -> bool:
    """Whether a cell stands for no value."""
    return cell.lower() in MISSING


def numbers(cells: Sequence[str], decimal: Decimal) -> Array:
    """The numbers (n,) float64 that cells are; NaN for what is missing or is none."""
    if decimal == "." and not any("_" in cell for cell in cells):
        try:
            found = np.array(list(map(float, cells)), dtype=np.float64)
        except ValueError:
            pass
        else:
            found[~np.isfinite(found)] = np.nan
            return found
    return np.array([_number(cell, decimal) for cell in cells], dtype=np.float64)


def _number(cell: str, decimal: Decimal) -> float:
    if "_" in cell:  # Python's spelling of 1000 as 1_000; in a table a code, such as 18_25
        return math.nan
    cell = cell.replace("−", "-")
    if _GROUPED[decimal].fullmatch(cell):
        return float(cell.translate(_APART[decimal]))
    if decimal == ",":
        if not _PLAIN_COMMA.fullmatch(cell):
            return math.nan
        cell = cell.replace(",", ".")
    try:
        found = float(cell)
    except ValueError:
        return math.nan
    return found if math.isfinite(found) else math.nan


def truths(cells: Sequence[str]) -> Array:
    """1 and 0 (n,) float64 for cells that say so; NaN for all others."""
    known = {**dict.fromkeys(TRUE, 1.0), **dict.fromkeys(FALSE, 0.0)}
    return np.array([known.get(cell.lower(), np.nan) for cell in cells], dtype=np.float64)


def are_truths(values: set[str]) -> bool:
    """Whether distinct values are the two of one pair."""
    lower = {value.lower() for value in values}
    return any(lower == set(pair) for pair in TRUTHS)
