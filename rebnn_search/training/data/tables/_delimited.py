"""Delimited text as a table."""

from __future__ import annotations

import csv
import io
import re

from rebnn_search.config import UserError
from rebnn_search.training.data.tables._table import Table, check_names, clean
from rebnn_search.training.data.tables._text import decode

SEPARATORS = ",;\t|"
NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
SAMPLE_LINES, SAMPLE_CHARACTERS = 50, 1_000_000
DECLARED = re.compile(r"sep=(.)\r?\n", re.IGNORECASE)
"""A first line by which spreadsheets say what separates cells."""


def parse(content: bytes, source: str) -> Table:
    """Parse a header and rows; blank lines are passed over.

    Raises:
        UserError: If it is no text of this kind, has no rows, or a row has other than the header's number of cells; the message
            names the line.
    """
    text, encoding = decode(content, source)
    declared = DECLARED.match(text)
    separator = declared[1] if declared else find_separator(text)
    before = 1 if declared else 0
    try:
        reader = csv.reader(
            io.StringIO(text[declared.end() if declared else 0 :], newline=""), delimiter=separator, strict=True
        )
        found = [(row, reader.line_num + before) for row in reader if row]
    except csv.Error as error:
        raise UserError(f"{source}: is no CSV file: {error}") from None
    names = [clean(name) for name in found[0][0]] if found else []
    rows = found[1:]
    check_names(names, len(rows), source)
    for row, line in rows:
        if len(row) != len(names):
            raise UserError(f"{source}:{line}: has {len(row)} cells, the header has {len(names)}")
    columns = [[clean(cell) for cell in column] for column in zip(*(row for row, _ in rows), strict=True)]
    remarks = [] if separator == "," else [f"{NAMES.get(separator, repr(separator))} separated"]
    remarks += [] if encoding == "utf-8" else [encoding]
    return Table(names, columns, [line for _, line in rows], separator=separator, remarks=remarks)


def find_separator(text: str) -> str:
    """The separator that the header has most of, if it makes the first lines equally wide; else the one that makes them widest."""
    head = text[: text.find("\n")] if "\n" in text else text
    first = max(SEPARATORS, key=head.count)
    lines = "".join(text[:SAMPLE_CHARACTERS].splitlines(keepends=True)[:SAMPLE_LINES])
    widths = {separator: _width(lines, separator) for separator in SEPARATORS}
    widest = max(SEPARATORS, key=lambda separator: widths[separator])
    return first if widths[first] > 1 or widths[widest] < 2 else widest  # of rows that fit no separator the header tells


def _width(lines: str, separator: str) -> int:
    """Cells of every row but the last, which may be cut off; 0 if they differ."""
    try:
        rows = [row for row in csv.reader(io.StringIO(lines, newline=""), delimiter=separator) if row]
    except csv.Error:
        return 0
    widths = {len(row) for row in (rows[:-1] or rows)}
    return widths.pop() if len(widths) == 1 else 0
