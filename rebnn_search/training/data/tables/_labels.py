"""A table's column of labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rebnn_search.config import UserError
from rebnn_search.training.data.tables._table import Table
from rebnn_search.training.data.tables.cells import DECIMALS, numbers

MOST_NUMBERS = 20
"""Different numbers that a column of labels may hold without a closer look."""
MOST_WHOLE = 1000
"""Different whole numbers that may be classes."""
MISSING = frozenset({"", "na", "n/a", "#n/a", "<na>", "nan", "-nan", "nat", "null", "?"})
"""What stands for no label, in lower case: what does for no value in a column of features, but for words that classes are called."""
SHARE = 0.1
"""Of the rows: so many different whole numbers are measured, not counted off."""


def labels_of(table: Table, label: str, source: str) -> list[str]:
    """The labels of all rows.

    Raises:
        UserError: If there is no such column or no other, a label is missing, or they are numbers to be estimated and no classes.
    """
    if label not in table.names:
        raise UserError(f"{source}: has no column {label!r} of labels; it has {', '.join(table.names)}")
    if len(table.names) == 1:
        raise UserError(f"{source}: has the column {label!r} of labels alone: there is nothing to tell them by")
    labels = table.column(label, source)
    missing = [row for row, cell in enumerate(labels) if cell.lower() in MISSING]
    if missing:
        cell, more = labels[missing[0]], len(missing) - 1
        said = f" ({cell!r} stands for no value: a class must have another name)" if cell else ""
        said += f", and in {more:,} further row{'' if more == 1 else 's'}" if more else ""
        raise UserError(
            f"{source}:{table.lines[missing[0]]}: column {label!r}: the label is missing{said}; a row without one teaches nothing: "
            "take it away"
        )
    if is_regression(labels):
        different = sorted(set(labels))
        raise UserError(
            f"{source}: column {label!r} holds {len(different):,} different numbers ({', '.join(different[:3])}, ...): estimating a "
            "number is regression, and this program tells classes apart; put ranges of it into a column of classes, or name another "
            "column"
        )
    return labels


def is_regression(labels: Sequence[str]) -> bool:
    """Whether labels are numbers of too many values to be classes."""
    different = sorted(set(labels))
    if len(different) <= MOST_NUMBERS:
        return False
    for decimal in DECIMALS:
        values = numbers(different, decimal)
        if np.isfinite(values).all():
            broken = bool((values != np.round(values)).any())
            return broken or len(different) > SHARE * len(labels) or len(different) > MOST_WHOLE
    return False
