"""A table's cells as text, whatever file they came from."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from rebnn_search.config import UserError


@dataclass(frozen=True)
class Table:
    """Cells as text, without the blanks around them.

    Attributes:
        names: Of the columns, each another.
        columns: The cells of each column, one for each row; empty where there is no value.
        lines: Where each row ends in the file, for messages.
        typed: Columns of which the file itself says what they hold (Parquet): there numbers and dates are as Python writes them.
        separator: Between cells; empty where there is none.
        remarks: What the user may want to know of how the file was read.
    """

    names: list[str]
    columns: list[list[str]]
    lines: list[int]
    typed: frozenset[str] = frozenset()
    separator: str = ""
    remarks: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.lines)

    def column(self, name: str, source: str) -> list[str]:
        """The cells of a column.

        Raises:
            UserError: If there is none of that name.
        """
        if name not in self.names:
            raise UserError(f"{source}: has no column {name!r}; it has {', '.join(self.names)}")
        return self.columns[self.names.index(name)]

    def without(self, name: str | None) -> Table:
        """The table without a column; None for all of it."""
        kept = [index for index, other in enumerate(self.names) if other != name]
        return replace(self, names=[self.names[index] for index in kept], columns=[self.columns[index] for index in kept])


def clean(text: str) -> str:
    """A cell without the blanks around it, and with plain ones for those that do not break."""
    return (text if text.isascii() else text.replace("\u00a0", " ").replace("\u202f", " ")).strip()


def check_names(names: list[str], rows: int, source: str) -> None:
    """Check that a table has columns with different names, and rows.

    Raises:
        UserError: If not.
    """
    if rows < 1 or not names:
        raise UserError(f"{source}: needs a header, and rows below it")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UserError(f"{source}: two columns are called {twice!r}")
