"""Parquet files as tables."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

from rebnn_search.config import UserError
from rebnn_search.training.data.tables._table import Table, check_names, clean

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

MAGIC = b"PAR1"
UNNAMED = re.compile(r"__index_level_\d+__")
"""What pandas calls an index without a name."""


def parse(content: bytes, source: str) -> Table:
    """Read every column as text that Python reads back as the same value.

    Raises:
        UserError: If it is damaged or has no rows.
    """
    import pyarrow as pa  # half a second to import
    import pyarrow.parquet as pq

    try:
        return _table(_without_index(pq.read_table(io.BytesIO(content))), source)
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise UserError(f"{source}: is damaged, or no Parquet file: {str(error).splitlines()[0]}") from None


def _without_index(found: pa.Table) -> pa.Table:
    """Less the row numbers that pandas stores with a frame whose rows were shuffled or left out: they tell where a row once stood."""
    stored = (found.schema.pandas_metadata or {}).get("index_columns", [])
    unnamed = [name for name in stored if isinstance(name, str) and UNNAMED.fullmatch(name) and name in found.column_names]
    return found.drop_columns(unnamed) if unnamed else found


def table_of(frame: pd.DataFrame, source: str) -> Table:
    """A frame's columns as those of a Parquet file; its index is no column.

    Raises:
        UserError: If a column holds what no file could, or there is no row.
    """
    import pyarrow as pa

    try:
        return _table(pa.Table.from_pandas(frame, preserve_index=False), source)
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        raise UserError(f"{source}: is no table of plain values: {str(error).splitlines()[0]}") from None


def _table(found: pa.Table, source: str) -> Table:
    import pyarrow as pa

    columns = [[_text(value) for value in column.to_pylist()] for column in found.columns]
    names = [clean(str(name)) for name in found.column_names]
    check_names(names, found.num_rows, source)
    types = [column.type.value_type if pa.types.is_dictionary(column.type) else column.type for column in found.columns]
    texts = [pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind) for kind in types]
    typed = frozenset(name for name, text in zip(names, texts, strict=True) if not text)
    return Table(names, columns, list(range(1, found.num_rows + 1)), typed, remarks=["Parquet"])


def _text(value: object) -> str:
    if value is None:
        return ""
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    return clean(str(value))
