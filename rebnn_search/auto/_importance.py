"""What each raw column of a table is worth to the network: what is lost where its values are shuffled among the validation rows.

Breiman, "Random Forests", Machine Learning 45 (2001). A column is shuffled as it stands in the table, with all its features.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from rebnn_search.auto._candidate import Candidate
from rebnn_search.training.data import Data, ResidentData
from rebnn_search.training.data.base import seeded
from rebnn_search.training.data.normalisation import normalise
from rebnn_search.training.data.table_data import TableData

NORMAL = 1.959964
"""Half of the width of a 95 % interval, in standard errors."""
SHOWN = 10
"""Columns that are printed."""
MOST_ROWS = 8192
"""That are computed at once."""


@dataclass(frozen=True)
class ColumnWorth:
    """A column.

    Attributes:
        column: Its name.
        drop: Points of accuracy (balanced, where classes count alike) that are lost.
        half_width: Half of its 95 % interval over the validation rows: whatever they are, they are a sample.
    """

    column: str
    drop: float
    half_width: float


@dataclass(frozen=True)
class ColumnImportance:
    """All columns, the most important first.

    Attributes:
        network: Whose: one that was not trained on the validation rows.
        rows: Validation rows.
        repeats: Shuffles of each column.
        columns: What was found.
        left_out: Columns that there was no time for.
        balanced: Whether the accuracy is the mean over the classes.
    """

    network: str
    rows: int
    repeats: int
    columns: list[ColumnWorth]
    left_out: list[str]
    balanced: bool = False


def importance(
    judged: Candidate, data: Data, logits: Tensor, weights: Tensor | None, repeats: int, end: float
) -> ColumnImportance | None:
    """What each column is worth; None where the data are no table.

    Args:
        judged: A network that was not trained on the validation rows.
        data: Opened as it reads them.
        logits: Its logits (N, classes) of the validation split.
        weights: (classes,) of a sample of each class; None is 1.
        repeats: Shuffles of each column.
        end: By `time.monotonic`; columns that come after are left out.
    """
    if not isinstance(data, ResidentData) or data.image_size > 1 or not data.size("validation"):
        return None
    samples, device = data.samples("validation"), next(judged.network.parameters()).device
    labels = samples.labels
    share = torch.ones(len(labels)).double() if weights is None else weights[labels].double()
    share = share / share.sum()
    before = (logits.argmax(1) == labels).double()
    found: list[ColumnWorth] = []
    blocks = columns_of(data)
    for index, (name, block) in enumerate(blocks):
        if time.monotonic() > end:
            break
        lost = torch.zeros(len(labels), dtype=torch.float64)
        at_once = max(1, MOST_ROWS // len(labels))
        for first in range(0, repeats, at_once):
            shuffles = range(first, min(repeats, first + at_once))
            orders = [torch.randperm(len(labels), generator=seeded("importance", index, repeat)) for repeat in shuffles]
            shuffled = samples.images.repeat(len(orders), 1, 1, 1)
            shuffled[:, block] = samples.images[torch.cat(orders)][:, block]
            with torch.no_grad():
                guesses = judged.network(normalise(shuffled, data.mean, data.std).to(device)).cpu().argmax(1)
            hits = (guesses.view(len(orders), -1) == labels).double()
            lost += (before - hits).sum(0) / repeats
        drop = float((share * lost).sum())
        error = float((share**2 * (lost - drop) ** 2).sum()) ** 0.5
        found.append(ColumnWorth(name, 100 * drop, 100 * NORMAL * error))
    ranked = sorted(found, key=lambda column: -column.drop)
    late = [name for name, _ in blocks[len(found) :]]
    return ColumnImportance(judged.name, len(labels), repeats, ranked, late, balanced=weights is not None)


def columns_of(data: ResidentData) -> list[tuple[str, slice]]:
    """The raw columns with the features that each became, in order; of arrays each feature is one."""
    if not isinstance(data, TableData):
        return [(f"feature {index}", slice(index, index + 1)) for index in range(data.channels)]
    blocks, begin = [], 0
    for column in data.fitted.preprocessing.columns:
        blocks.append((column.name, slice(begin, begin + column.width)))
        begin += column.width
    return blocks


def importance_lines(found: ColumnImportance) -> list[str]:
    """For the user: the top columns."""
    points = f"points of {'balanced ' if found.balanced else ''}accuracy"
    lines = [
        f"importance of columns: {points} lost on {found.rows:,} validation rows where one is shuffled "
        f"({found.repeats} times; 95 % intervals; {found.network}):"
    ]
    width = max((len(column.column) for column in found.columns[:SHOWN]), default=0)
    lines += [f"  {column.column:{width}}  {column.drop:6.2f} ± {column.half_width:.2f}" for column in found.columns[:SHOWN]]
    if len(found.columns) > SHOWN:
        lines.append(f"  and {len(found.columns) - SHOWN} more, in auto.json")
    if found.left_out:
        lines.append(f"  no time was left for {len(found.left_out)} more")
    return lines
