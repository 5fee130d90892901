"""Groups of samples that a drawn split keeps together: rows of one patient, pictures out of one film."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rebnn_search.config import UserError
from rebnn_search.training.data.base import Split
from rebnn_search.training.data.tables import Table
from rebnn_search.training.data.tables.cells import is_missing


def groups_in_column(table: Table, column: str, source: str) -> Tensor:
    """The group (N,) int64 of each row: rows with one cell in the column are of one.

    Raises:
        UserError: If there is no such column, a cell of it is empty, or all rows are of one group.
    """
    if column not in table.names:
        raise UserError(f"{source}: has no column {column!r} of groups; it has {', '.join(table.names)}")
    cells = table.column(column, source)
    missing = next((row for row, cell in enumerate(cells) if is_missing(cell)), None)
    if missing is not None:
        raise UserError(
            f"{source}:{table.lines[missing]}: column {column!r}: the group is missing; a row that belongs with no other needs a "
            "name of its own"
        )
    return numbered(cells, f"{source}: column {column!r}")


def groups_in_names(files: Sequence[Path], base: Path, pattern: re.Pattern[str], source: str) -> list[str]:
    """The group of each file by its path below ``base``: what the pattern's first parentheses match, or else all it matches.

    Raises:
        UserError: If the pattern is nowhere in a file's path.
    """
    names = []
    for file in files:
        found = pattern.search(file.relative_to(base).as_posix())
        if found is None:
            raise UserError(
                f"{source}: {pattern.pattern!r} is nowhere in {file.relative_to(base).as_posix()!r}: what does it belong with?"
            )
        names.append(found[1] if pattern.groups and found[1] is not None else found[0])
    return names


def numbered(names: Sequence[str], source: str) -> Tensor:
    """Names of groups as numbers (N,) int64 from 0.

    Raises:
        UserError: If all are one.
    """
    different, numbers = np.unique(np.array(names, dtype=object), return_inverse=True)
    if len(different) < 2:
        raise UserError(f"{source}: all samples are of the group {different[0]!r}: none can be split off")
    return torch.from_numpy(numbers.astype(np.int64))


def check_apart(names: Mapping[Split, Sequence[str]], source: str) -> None:
    """Check that splits that the data came with have no group in common.

    Raises:
        UserError: Naming one that is on two sides.
    """
    of: dict[str, Split] = {}
    for split, groups in names.items():
        for group in groups:
            if of.setdefault(group, split) != split:
                raise UserError(f"{source}: group {group!r} is in the folders of two splits, {of[group]} and {split}")
