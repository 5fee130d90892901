"""Tables: a CSV file with a column of labels."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rebnn_search.config import UserError
from rebnn_search.training.data._arrays import Array, from_arrays
from rebnn_search.training.data._base import DATASETS, Data, Dataset
from rebnn_search.training.data._split import check_fractions

DELIMITERS = ",;\t"


@dataclass(frozen=True)
class Table:
    """A CSV file's cells as text.

    Attributes:
        names: Of the columns.
        rows: Of cells, as many in each as there are names.
        lines: The line of the file on which each row ends.
    """

    names: list[str]
    rows: list[list[str]]
    lines: list[int]


@DATASETS.register("csv")
class Csv(Dataset):
    """A CSV file with a header: a column of labels of any kind, and columns of numbers, standardised from the training split.

    Args:
        path: The file; separated by comma, semicolon or tab, in UTF-8.
        label: Name of the column of labels; their sorted distinct values are the classes.
        features: Names of the columns to learn from, in this order; by default all others.
        validation: Share of the rows for validation.
        test: Share of the rows for the test.
        split_seed: Of the stratified splits.
        repeat: Passes over the training rows that make an epoch: small tables' epochs are too short to report on each.

    Raises:
        ValueError: If a share is out of range or repeat below 1.
    """

    def __init__(
        self,
        *,
        path: str,
        label: str,
        features: list[str] | None = None,
        validation: float = 0.2,
        test: float = 0.2,
        split_seed: int = 0,
        repeat: int = 1,
    ) -> None:
        check_fractions(validation=validation, test=test)
        if repeat < 1:
            raise ValueError(f"repeat must be at least 1, not {repeat}")
        self.path, self.label, self.features = Path(path), label, features
        self.validation, self.test, self.split_seed, self.repeat = validation, test, split_seed, repeat

    def open(self) -> Data:
        """Read, check and split."""
        source = f"data.path: {self.path}"
        table = read_table(self.path, source)
        if self.label not in table.names:
            raise UserError(f"{source}: has no column {self.label!r} of labels; it has {', '.join(table.names)}")
        features = self.features or [name for name in table.names if name != self.label]
        column = table.names.index(self.label)
        labels = [row[column].strip() for row in table.rows]
        if "" in labels:
            raise UserError(f"{source}:{table.lines[labels.index('')]}: column {self.label!r}: the label is missing")
        return from_arrays(
            numbers(table, features, source), np.array(labels), validation=self.validation, test=self.test,
            split_seed=self.split_seed, source=source, repeat=self.repeat,
        )  # fmt: skip


def read_table(path: Path, source: str) -> Table:
    """Read a CSV file's header and rows; blank lines are passed over. Messages begin with the source.

    Raises:
        UserError: If it cannot be read, has no rows, or a row has other than the header's number of cells; the message names the
            line.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            head = file.readline()
            file.seek(0)
            reader = csv.reader(file, delimiter=max(DELIMITERS, key=head.count), strict=True)
            found = [(row, reader.line_num) for row in reader if row]
    except FileNotFoundError:
        raise UserError(f"{source}: no such file") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{source}: is no CSV file in UTF-8: {error}") from None
    names = [name.strip() for name in found[0][0]] if found else []
    if len(found) < 2 or len(names) < 2:
        raise UserError(f"{source}: needs a header of at least two columns, and rows below it")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UserError(f"{source}: two columns are called {twice!r}")
    for row, line in found[1:]:
        if len(row) != len(names):
            raise UserError(f"{source}:{line}: has {len(row)} cells, the header has {len(names)}")
    return Table(names, [row for row, _ in found[1:]], [line for _, line in found[1:]])


def numbers(table: Table, features: Sequence[str], source: str) -> Array:
    """The columns of a table as numbers (rows, features) float32.

    Raises:
        UserError: If a column is not there, or a cell is missing or no finite number; the message names line and column.
    """
    missing = [name for name in features if name not in table.names]
    if missing:
        raise UserError(f"{source}: has no column {missing[0]!r}; it has {', '.join(table.names)}")
    columns = [table.names.index(name) for name in features]
    out = np.empty((len(table.rows), len(columns)), dtype=np.float32)
    for index, row in enumerate(table.rows):
        try:
            with np.errstate(over="ignore"):  # infinite then, which is said below
                out[index] = [float(row[column]) for column in columns]
        except ValueError:
            raise _not_a_number(table, index, features, source) from None
    bad = np.flatnonzero(~np.isfinite(out).all(1))
    if len(bad):
        raise _not_a_number(table, int(bad[0]), features, source)
    return out


def _not_a_number(table: Table, index: int, features: Sequence[str], source: str) -> UserError:
    for name in features:
        cell = table.rows[index][table.names.index(name)].strip()
        try:
            with np.errstate(over="ignore"):
                finite = bool(np.isfinite(np.float32(cell)))
        except ValueError:
            finite = False
        if not finite:
            what = "the value is missing" if not cell else f"{cell!r} is no finite number"
            return UserError(
                f"{source}:{table.lines[index]}: column {name!r}: {what}; fill it in, turn the column into numbers, or leave the "
                "row or the column out"
            )
    raise AssertionError("every cell of the row is a finite number")
