"""How a table's columns become features: plain data, as a model file keeps it, and what is done by it.

Features come in the order of the columns: a number is itself, with the training rows' median where it is missing, then 1 where it was
missing if training had such rows; a boolean 1 or 0 likewise, with what is more frequent; a date its parts likewise; a category one
feature for each frequent value, 1 where the cell is that value (missing is a value too), then one for all others if training had any.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from rebnn_search.config import Notice, Strict, UserError, fail
from rebnn_search.training.data.tables._dates import ORDERS, PARTS, DateOrder, Part, date_parts
from rebnn_search.training.data.tables._table import Table
from rebnn_search.training.data.tables.cells import Array, Decimal, is_missing, numbers, truths

Finite = Annotated[float, Field(allow_inf_nan=False)]
SHOWN = 10
"""Known values that a message lists."""
MANY = 5
"""Values none of which training had: fewer may be rare ones, where it had such."""
STRAY = 0.5
"""Of a column's values, at most, may be unreadable where a model is asked: beyond that they are not what it was trained on."""


class NumberColumn(Strict):
    """Numbers.

    Attributes:
        name: Of the column.
        decimal: Before decimals.
        fill: Instead of what is missing.
        marked: Whether a further feature says what was missing.
    """

    kind: Literal["number"] = "number"
    name: str
    decimal: Decimal
    fill: Finite
    marked: bool

    @property
    def width(self) -> int:
        """How many features it becomes."""
        return 1 + self.marked

    def values(self, cells: Sequence[str], typed: bool) -> Array:
        """Its numbers (n, 1), NaN where there is none."""
        return numbers(cells, "." if typed else self.decimal)[:, None]

    def features(self, values: Array) -> Array:
        """Its features (n, width)."""
        return _filled(values, [self.fill], self.marked)


class BooleanColumn(Strict):
    """Yes and no in some words; attributes as of `NumberColumn`."""

    kind: Literal["boolean"] = "boolean"
    name: str
    fill: Finite
    marked: bool

    @property
    def width(self) -> int:
        """How many features it becomes."""
        return 1 + self.marked

    def values(self, cells: Sequence[str], typed: bool) -> Array:
        """1 and 0 (n, 1), NaN where there is neither."""
        return truths(cells)[:, None]

    def features(self, values: Array) -> Array:
        """Its features (n, width)."""
        return _filled(values, [self.fill], self.marked)


class DateColumn(Strict):
    """Dates.

    Attributes:
        name: Of the column.
        order: Of year, month and day.
        parts: What they are made into.
        fills: Instead of what is missing, for each part.
        marked: Whether a further feature says what was missing.
    """

    kind: Literal["date"] = "date"
    name: str
    order: DateOrder
    parts: Annotated[list[Part], Field(min_length=1)]
    fills: list[Finite]
    marked: bool

    @model_validator(mode="after")
    def _fits(self) -> DateColumn:
        if len(self.fills) != len(self.parts) or len(set(self.parts)) < len(self.parts):
            fail("table", ("fills",), "needs one for each of the parts, each of them once", self.fills)
        return self

    @property
    def width(self) -> int:
        """How many features it becomes."""
        return len(self.parts) + self.marked

    def values(self, cells: Sequence[str], typed: bool) -> Array:
        """Its parts (n, parts), NaN where there is no date."""
        return date_parts(cells, "iso" if typed else self.order)[:, [PARTS.index(part) for part in self.parts]]

    def features(self, values: Array) -> Array:
        """Its features (n, width)."""
        return _filled(values, self.fills, self.marked)


class CategoryColumn(Strict):
    """Words.

    Attributes:
        name: Of the column.
        frequent: Values with a feature of their own; the empty one is what is missing.
        others: Whether a further feature says that it is another value. Without, such a one has none of the features.
    """

    kind: Literal["category"] = "category"
    name: str
    frequent: list[str]
    others: bool

    @model_validator(mode="after")
    def _fits(self) -> CategoryColumn:
        if len(set(self.frequent)) < len(self.frequent):
            fail("table", ("frequent",), "a value is there twice", self.frequent)
        if self.width < 1:
            fail("table", ("frequent",), "needs a value", self.frequent)
        return self

    @property
    def width(self) -> int:
        """How many features it becomes."""
        return len(self.frequent) + self.others

    def values(self, cells: Sequence[str], typed: bool) -> Array:
        """The index (n, 1) of each cell's value among the frequent ones; as many as there are for any other."""
        known = {value: index for index, value in enumerate(self.frequent)}
        other = len(self.frequent)
        found = [known.get("" if is_missing(cell) else cell, other) for cell in cells]
        return np.array(found, dtype=np.float64)[:, None]

    def features(self, values: Array) -> Array:
        """Its features (n, width)."""
        found: Array = (values == np.arange(self.width)).astype(np.float64)
        return found


Column = Annotated[NumberColumn | BooleanColumn | DateColumn | CategoryColumn, Field(discriminator="kind")]


class Preprocessing(Strict):
    """How rows of a table become features.

    Attributes:
        columns: Those that are learned from, in the order of their features.
    """

    columns: Annotated[list[Column], Field(min_length=1)]

    @model_validator(mode="after")
    def _fits(self) -> Preprocessing:
        names = [column.name for column in self.columns]
        if len(set(names)) < len(names):
            fail("table", ("columns",), "a column is there twice", names)
        return self

    @property
    def width(self) -> int:
        """How many features a row becomes."""
        return sum(column.width for column in self.columns)

    def features(self, table: Table, source: str) -> Array:
        """The features (rows, width) float64 of a table, whose other columns are passed over. Nothing is standardised yet.

        What cannot be read is taken as missing, and a category's value that training had not as any other rare one.

        Raises:
            UserError: If a column is not there, or most of its values are none of its kind; the message names it.
        """
        return np.concatenate([column.features(values) for column, values in self._read(table, source)], axis=1)

    def _read(self, table: Table, source: str) -> Iterator[tuple[Any, Array]]:
        for column in self.columns:
            cells = table.column(column.name, source)
            values = column.values(cells, column.name in table.typed)
            stray = [row for row in np.flatnonzero(np.isnan(values[:, 0])).tolist() if not is_missing(cells[row])]
            present = len(cells) - sum(map(is_missing, cells))
            if len(stray) > STRAY * present:
                raise UserError(
                    f"{source}:{table.lines[stray[0]]}: column {column.name!r}: {cells[stray[0]]!r} is no {wanted(column)}, on which "
                    "the model was trained"
                )
            if isinstance(column, CategoryColumn) and present >= (MANY if column.others else 1):
                _tell_unknown(column, [cell for cell in cells if not is_missing(cell)], source)
            yield column, values


def _tell_unknown(column: CategoryColumn, cells: Sequence[str], source: str) -> None:
    """Tell of a column none of whose values training had often: it may be another, or be written in another way."""
    known = [value for value in column.frequent if value]
    if known and set(cells).isdisjoint(known):
        told = f"{source}: column {column.name!r}: no value of it, as {cells[0]!r}, is one that training had often"
        warnings.warn(f"{told}: {', '.join(map(repr, known[:SHOWN]))}", Notice, stacklevel=4)


def wanted(column: NumberColumn | BooleanColumn | DateColumn | CategoryColumn) -> str:
    """What a column's cells should be, in words."""
    if isinstance(column, DateColumn):
        return f"date in the order {ORDERS[column.order]}"
    if isinstance(column, NumberColumn):
        return f"number with a decimal {'point' if column.decimal == '.' else 'comma'}"
    return "yes or no"


def _filled(values: Array, fills: Sequence[float], marked: bool) -> Array:
    missing = np.isnan(values)
    filled = np.where(missing, np.array(fills, dtype=np.float64), values)
    return np.concatenate([filled, missing[:, :1].astype(np.float64)], axis=1) if marked else filled
