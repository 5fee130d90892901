"""Tables: a file with a column of labels and columns to learn from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from rebnn_search.config import UserError
from rebnn_search.training.data._arrays import check_statistics, classes_of
from rebnn_search.training.data.base import DATASETS, Dataset, Split
from rebnn_search.training.data.groups import groups_in_column
from rebnn_search.training.data.normalisation import channel_statistics
from rebnn_search.training.data.resident import Samples
from rebnn_search.training.data.splits import check_fractions, drawn_splits
from rebnn_search.training.data.table_data import TableData
from rebnn_search.training.data.tables import Table, fit, labels_of, read_table


@DATASETS.register("csv")
class Csv(Dataset):
    """A table with a column of labels of any kind and columns of numbers, words, dates, yes and no, with or without gaps.

    Delimited text in any usual encoding, compressed with gzip or not, or Parquet. What a column holds, what is put for its gaps and
    which of its words are frequent is fitted to the training rows, and so is the standardisation.

    Args:
        path: The file.
        label: Name of the column of labels; their sorted distinct values are the classes.
        features: Names of the columns to learn from, in this order; by default all others, without identifiers and constants. Of a
            table of plain numbers alone without a gap these stay, too.
        validation: Share of the rows for validation.
        test: Share of the rows for the test.
        split_seed: Of the stratified splits.
        repeat: Passes over the training rows that make an epoch: small tables' epochs are too short to report on each.
        group: Name of a column whose equal cells stay together: no patient, machine or day is in two splits. It is no feature.

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
        group: str | None = None,
    ) -> None:
        check_fractions(validation=validation, test=test)
        if repeat < 1:
            raise ValueError(f"repeat must be at least 1, not {repeat}")
        self.path, self.label, self.features = Path(path), label, features
        self.validation, self.test, self.split_seed, self.repeat = validation, test, split_seed, repeat
        self.group = group

    def check_place(self) -> None:
        """See `Dataset.check_place`."""
        if not self.path.is_file():
            raise UserError(f"data.path: {self.path}: no such file")

    def open(self) -> TableData:
        """Read, check, split and fit."""
        source = f"data.path: {self.path}"
        return self.open_table(read_table(self.path, source), source)

    def open_table(self, table: Table, source: str, choose: bool | None = None) -> TableData:
        """Split and fit a table that was read; ``choose`` as of `rebnn_search.training.data.tables.fit`.

        Raises:
            UserError: If it is unfit; the message names line or column.
        """
        if self.features is not None and self.label in self.features:
            raise UserError(f"data.features: {self.label!r} is the column of labels")
        if self.group == self.label:
            raise UserError(f"data.group: {self.group!r} is the column of labels")
        if self.group is not None and self.group in (self.features or []):
            raise UserError(
                f"data.features: {self.group!r} is the column of groups: a model that learns it knows what it is tested on"
            )
        twice = [name for name in self.features or [] if (self.features or []).count(name) > 1]
        if twice:
            raise UserError(f"data.features: {twice[0]!r} is there twice")
        labels = labels_of(table, self.label, source)
        classes, targets = classes_of(np.array(labels), len(table), source)
        shares: dict[Split, float] = {"test": self.test, "validation": self.validation}
        groups = None if self.group is None else groups_in_column(table, self.group, source)
        rows = drawn_splits(targets, shares, self.split_seed, classes, source, groups)
        fitted = fit(table.without(self.group), self.label, self.features, rows["train"].numpy(), source, choose=choose)
        images = torch.from_numpy(fitted.preprocessing.features(table, source))[:, :, None, None]
        mean, std = channel_statistics(images[rows["train"]])
        check_statistics(mean, std, source)
        splits = {name: Samples(images[part], targets[part]) for name, part in rows.items()}
        return TableData(fitted, splits, classes, mean, std, self.repeat)
