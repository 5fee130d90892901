"""What data auto is given, and what the user says of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Source:
    """Data, and what the user says of them.

    Attributes:
        path: A folder of class folders, also below ``train/``, an ``.npz`` file or a table.
        label: Of a table, the column of labels; by default one called label, class, target or y.
        group: What stays together in one split: a table's column, or of pictures a regular expression for their paths.
        skip_damaged: Whether pictures that cannot be decoded are left out; for folders.
    """

    path: Path
    label: str | None = None
    group: str | None = None
    skip_damaged: bool = False
