"""Reads a table from a file of any kind."""

from __future__ import annotations

from pathlib import Path

from rebnn_search.config import UserError
from rebnn_search.training.data.tables import _delimited, _parquet
from rebnn_search.training.data.tables._table import Table

TEXT_ENDINGS = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
PARQUET_ENDINGS = (".parquet", ".pq")


def is_table(path: Path) -> bool:
    """Whether a file is named as a table."""
    return path.name.lower().endswith(TEXT_ENDINGS + PARQUET_ENDINGS)


def read_table(path: Path, source: str) -> Table:
    """Read a table: Parquet by its ending or first bytes, else delimited text, compressed with gzip or not.

    Args:
        path: The file.
        source: What messages begin with.

    Raises:
        UserError: If it cannot be read, has no rows, or a row has other than the header's number of cells; the message names the
            line.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{source}: no such file") from None
    except OSError as error:
        raise UserError(f"{source}: cannot be read: {error.strerror}") from None
    if content[:4] == _parquet.MAGIC:
        return _parquet.parse(content, source)
    if path.name.lower().endswith(PARQUET_ENDINGS):
        raise UserError(f"{source}: is no Parquet file")
    return _delimited.parse(content, source)
