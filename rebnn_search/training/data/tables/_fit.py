"""Fits the preprocessing of a table to its training rows, with scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rebnn_search.config import UserError
from rebnn_search.training.data.tables._dates import PARTS, date_parts
from rebnn_search.training.data.tables._kinds import Kind, kind_of, notation, why_useless
from rebnn_search.training.data.tables._stored import BooleanColumn, CategoryColumn, DateColumn, NumberColumn, Preprocessing
from rebnn_search.training.data.tables._table import Table
from rebnn_search.training.data.tables.cells import Array, is_missing, numbers, truths

MOST_VALUES = 32
"""Of a category with features of their own, that of all others included."""
FEWEST_TIMES = 3
"""Training rows that such a value is in."""


@dataclass(frozen=True)
class Fitted:
    """What was made of a table's training rows.

    Attributes:
        preprocessing: Of the columns that are learned from.
        left_out: Why others are not, by name.
    """

    preprocessing: Preprocessing
    left_out: dict[str, str]


def fit(
    table: Table, label: str, features: Sequence[str] | None, rows: Array, source: str, *, choose: bool | None = None
) -> Fitted:
    """Fit to the training rows.

    Args:
        table: The table.
        label: Name of the column of labels.
        features: Names of the columns to learn from, in this order; None for all that may tell something.
        rows: (n,) int, the training rows.
        source: What messages begin with.
        choose: Whether identifiers and constants are left out where no features are named; None for all tables but those of numbers
            alone without a gap, as earlier versions read them.

    Raises:
        UserError: If a feature is not there, or none is left.
    """
    others = [name for name in table.names if name != label]
    said = notation([_taken(table.column(name, source), rows) for name in others], table.separator)
    names = others if features is None else list(features)
    cells = {name: _taken(table.column(name, source), rows) for name in names}
    kinds = {name: kind_of(cells[name], said, table.separator, name in table.typed) for name in names}
    left_out: dict[str, str] = {}
    choosing = features is None and (choose or (choose is None and not _plain(table, names, kinds)))
    if choosing:
        for name in names:
            why = why_useless(name, cells[name], kinds[name], rows, len(table))
            if why is not None:
                left_out[name] = why
    kept = [name for name in names if name not in left_out]
    columns = [_column(name, cells[name], kinds[name], name in table.typed) for name in kept]
    if choosing:
        for column in columns:
            if isinstance(column, CategoryColumn) and column.width == 1:
                left_out[column.name] = f"text: no value is in {FEWEST_TIMES} rows"
    columns = [column for column in columns if column.name not in left_out]
    if not columns:
        why = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
        raise UserError(f"{source}: no column is left to learn from ({why}); name those that should be in features")
    return Fitted(Preprocessing(columns=columns), left_out)


def _taken(column: Sequence[str], rows: Array) -> list[str]:
    return [column[row] for row in rows.tolist()]


def _plain(table: Table, names: Sequence[str], kinds: dict[str, Kind]) -> bool:
    """Whether a table holds numbers alone and no gap, in every row."""
    if not table.separator or any(kind.name != "number" for kind in kinds.values()):
        return False
    for name in names:
        try:
            found = np.array(list(map(float, table.column(name, ""))))
        except ValueError:
            return False
        if not np.isfinite(found).all():
            return False
    return True


def _column(
    name: str, cells: Sequence[str], kind: Kind, typed: bool
) -> NumberColumn | BooleanColumn | DateColumn | CategoryColumn:
    if kind.name == "category":
        frequent, others = _frequent(["" if is_missing(cell) else cell for cell in cells])
        return CategoryColumn(name=name, frequent=frequent, others=others)
    if kind.name == "date":
        values = date_parts(cells, "iso" if typed else kind.date)
        # The time is always one of them: if nothing varies at all the user has asked for it.
        varying = [0] + [index for index in range(1, len(PARTS)) if np.nanmax(values[:, index]) > np.nanmin(values[:, index])]
        fills = _imputed(values[:, varying], "median")
        parts = [PARTS[index] for index in varying]
        return DateColumn(name=name, order=kind.date, parts=parts, fills=fills, marked=bool(np.isnan(values[:, 0]).any()))
    if kind.name == "boolean":
        values = truths(cells)[:, None]
        return BooleanColumn(name=name, fill=_imputed(values, "most_frequent")[0], marked=bool(np.isnan(values).any()))
    values = numbers(cells, "." if typed else kind.decimal)[:, None]
    fill = _imputed(values, "median")[0]
    return NumberColumn(name=name, decimal=kind.decimal, fill=fill, marked=bool(np.isnan(values).any()))


def _imputed(values: Array, strategy: str) -> list[float]:
    """What is put for missing values (n, columns), by column; 0 where there are no others."""
    from sklearn.impute import SimpleImputer  # a second to import

    fitted = SimpleImputer(strategy=strategy, keep_empty_features=True).fit(values)
    return [float(fill) for fill in fitted.statistics_]


def _frequent(values: Sequence[str]) -> tuple[list[str], bool]:
    """The values that get features of their own, and whether there are others."""
    from sklearn.preprocessing import OneHotEncoder

    encoder = OneHotEncoder(max_categories=MOST_VALUES, min_frequency=FEWEST_TIMES, handle_unknown="infrequent_if_exist")
    encoder.fit(np.array(values, dtype=object)[:, None])
    rare = encoder.infrequent_categories_[0]
    rest = set() if rare is None else set(rare)
    return [str(value) for value in encoder.categories_[0] if value not in rest], bool(rest)
