"""What was made of a table, in a few lines for the user."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from rebnn_search.training.data.tables._dates import ORDERS
from rebnn_search.training.data.tables._fit import Fitted
from rebnn_search.training.data.tables._stored import CategoryColumn, DateColumn, NumberColumn, wanted
from rebnn_search.training.data.tables._table import Table
from rebnn_search.training.data.tables.cells import is_missing

SHOWN = 6
"""Names in a line before the rest is counted."""


def notes(table: Table, fitted: Fitted, source: str) -> list[str]:
    """Say how each column is understood: its kind, what is filled in, what cannot be read, what is left out and why."""
    columns = fitted.preprocessing.columns
    lines = []
    if columns_by := _by_kind(columns):
        lines.append("columns: " + "; ".join(columns_by))
    gaps, strays = [], []
    for column in columns:
        cells = table.column(column.name, source)
        missing = sum(map(is_missing, cells))
        if missing:
            gaps.append(f"{column.name} {100 * missing / len(cells):.1f} %")
        stray = [
            row
            for row in np.flatnonzero(np.isnan(column.values(cells, column.name in table.typed)[:, 0])).tolist()
            if not is_missing(cells[row])
        ]
        if stray:
            first = f"{cells[stray[0]]!r} in line {table.lines[stray[0]]}"
            strays.append(
                f"{column.name}: {first}{f' and {len(stray) - 1} more' if len(stray) > 1 else ''} is no {wanted(column)}"
            )
    if gaps:
        lines.append(f"missing, filled in and marked: {_listed(gaps)}")
    if strays:
        lines.append(f"taken as missing: {_listed(strays)}")
    if fitted.left_out:
        lines.append(f"left out: {_listed([f'{name!r} ({why})' for name, why in fitted.left_out.items()], 2 * SHOWN)}")
    return lines


def _by_kind(columns: Sequence[object]) -> Iterable[str]:
    named: dict[str, list[str]] = {}
    for column in columns:
        if isinstance(column, CategoryColumn):
            values = len(column.frequent)
            named.setdefault("category", []).append(f"{column.name} ({values}{' and others' if column.others else ''})")
        elif isinstance(column, DateColumn):
            named.setdefault("date", []).append(f"{column.name} ({ORDERS[column.order]})")
        elif isinstance(column, NumberColumn):
            kind = "number" if column.decimal == "." else "number with decimal comma"
            named.setdefault(kind, []).append(column.name)
        else:
            named.setdefault("boolean", []).append(column.name)  # type: ignore[attr-defined]
    plural = {"category": "categories", "number with decimal comma": "numbers with decimal comma"}
    return [
        f"{len(names)} {kind if len(names) == 1 else plural.get(kind, kind + 's')} ({_listed(names)})"
        for kind, names in named.items()
    ]


def _listed(names: Sequence[str], most: int = SHOWN) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
