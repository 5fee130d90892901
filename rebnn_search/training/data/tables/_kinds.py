"""What kind of values a column holds, seen from its training rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rebnn_search.training.data.tables._dates import DateOrder, date_parts
from rebnn_search.training.data.tables.cells import DECIMALS, Array, Decimal, are_truths, is_missing, numbers

SHARE = 0.95
"""Of a column's values, at least, are numbers or dates where it is taken for a column of them."""
MOST_DIFFERENT, FEW = 0.5, 10
"""Of a category's values, at most, may differ, where more than a few do: beyond that they are text or names."""
FEWEST_ROWS = 10
"""Rows from which on numbers that run up with them are an identifier."""
GAPS = 2.0
"""How many times as far as the rows an identifier may run."""
SAMPLED = 500
"""Values of a column, spread evenly over it, that are tried as numbers and dates."""


@dataclass(frozen=True)
class Notation:
    """How a file writes what can be written in more than one way.

    Attributes:
        decimal: Before decimals, where a column's values do not say it.
        date: Order of dates that do not say it.
    """

    decimal: Decimal = "."
    date: DateOrder = "mdy"


@dataclass(frozen=True)
class Kind:
    """Of a column: number, boolean, date or category; with what numbers or dates are read by."""

    name: str
    decimal: Decimal = "."
    date: DateOrder = "iso"


def notation(columns: Sequence[Sequence[str]], separator: str) -> Notation:
    """What the columns that leave no doubt say of those that do; where none does, a semicolon between cells speaks for a comma, and
    that for the day before the month.
    """
    samples = [_sample(_present(column)) for column in columns]
    shares = [_decimal_shares(sample) for sample in samples]
    points = any(point > comma and point >= SHARE for point, comma in shares)
    commas = any(comma > point and comma >= SHARE for point, comma in shares)
    decimal: Decimal = "," if commas and not points else "."
    texts = [sample for sample, both in zip(samples, shares, strict=True) if sample and max(both) < SHARE]
    dates = [(_date_share(sample, "mdy"), _date_share(sample, "dmy")) for sample in texts]
    months, days = any(mdy > dmy and mdy >= SHARE for mdy, dmy in dates), any(dmy > mdy and dmy >= SHARE for mdy, dmy in dates)
    if months != days:
        return Notation(decimal, "dmy" if days else "mdy")
    return Notation(decimal, "dmy" if decimal == "," or separator == ";" else "mdy")


def kind_of(cells: Sequence[str], said: Notation, separator: str, typed: bool) -> Kind:
    """The kind of a column's cells; of one without any value, a number."""
    present = _present(cells)
    if not present:
        return Kind("number")
    sample = _sample(present)
    point, comma = _decimal_shares(sample)
    if max(point, comma) >= SHARE:
        if typed or point > comma:
            return Kind("number", ".")
        if comma > point:
            return Kind("number", ",")
        # Both fit: 1,234 in a file that says nothing else is a decimal where a semicolon separates, else thousands.
        comma_decimals = separator == ";" and any("," in cell for cell in present)
        return Kind("number", "," if said.decimal == "," or comma_decimals else ".")
    if are_truths(set(present)):
        return Kind("boolean")
    orders: tuple[DateOrder, ...] = ("iso", said.date, "dmy" if said.date == "mdy" else "mdy")
    fits = [_date_share(sample, order) for order in orders]
    best = int(np.argmax(fits))
    return Kind("date", date=orders[best]) if fits[best] >= SHARE else Kind("category")


def why_useless(name: str, cells: Sequence[str], kind: Kind, rows: Array, total: int) -> str | None:
    """Why a column tells nothing of the class; None if it may.

    Args:
        name: Of the column.
        cells: Of its training rows.
        kind: Of it.
        rows: (n,) int, where in the file they stand.
        total: Rows of the file.
    """
    values = {"" if is_missing(cell) else cell for cell in cells}
    if values == {""}:
        return "empty"
    if len(values) == 1:
        return f"always {next(iter(values))!r}"
    if kind.name == "number":
        return _identifier(name, numbers(cells, kind.decimal), rows, total)
    if kind.name != "category":
        return None
    counts = Counter(_present(cells))
    if len(counts) == counts.total() > FEW:
        return "identifier: every value is another"
    if len(counts) > max(FEW, MOST_DIFFERENT * counts.total()):
        return f"text: {len(counts)} different values in {counts.total()} rows"
    return None


def _identifier(name: str, values: Array, rows: Array, total: int) -> str | None:
    if len(values) < FEWEST_ROWS or not np.isfinite(values).all() or (values != np.round(values)).any():
        return None
    steps = np.diff(values)
    if len(np.unique(values)) < len(values):
        return None
    if ((steps > 0).all() or (steps < 0).all()) and abs(values[-1] - values[0]) <= GAPS * (rows[-1] - rows[0]):
        return "identifier: runs with the rows"
    if (steps == steps[0] / (rows[1] - rows[0]) * np.diff(rows)).all():
        return "identifier: runs with the rows"
    if np.ptp(values) < total:
        return "identifier: numbers the rows"
    words = name.lower().replace("-", "_").replace(" ", "_").split("_")
    named = name == "" or "id" in (words[0], words[-1]) or name.endswith(("Id", "ID")) or words[0] in ("index", "unnamed:")
    return "identifier: by its name, and every value is another" if named else None


def _decimal_shares(present: Sequence[str]) -> tuple[float, float]:
    """Of the values, the share that are numbers with a decimal point, and with a decimal comma."""
    if not present:
        return 0.0, 0.0
    point, comma = (float(np.isfinite(numbers(present, decimal)).mean()) for decimal in DECIMALS)
    return point, comma


def _date_share(sample: Sequence[str], order: DateOrder) -> float:
    """Of the values, the share that are dates written in an order."""
    return float(np.isfinite(date_parts(sample, order)[:, 0]).mean())


def _present(cells: Sequence[str]) -> list[str]:
    return [cell for cell in cells if not is_missing(cell)]


def _sample(present: Sequence[str]) -> Sequence[str]:
    return present[:: -(-len(present) // SAMPLED)] if len(present) > SAMPLED else present
