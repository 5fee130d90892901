"""Parquet files as tables."""

from __future__ import annotations

import io

from rebnn_search.config import UserError
from rebnn_search.training.data.tables._table import Table, check_names, clean

MAGIC = b"PAR1"


def parse(content: bytes, source: str) -> Table:
    """Read every column as text that Python reads back as the same value.

    Raises:
        UserError: If it is damaged or has no rows.
    """
    import pyarrow as pa  # half a second to import
    import pyarrow.parquet as pq

    try:
        found = pq.read_table(io.BytesIO(content))
        columns = [[_text(value) for value in column.to_pylist()] for column in found.columns]
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise UserError(f"{source}: is damaged, or no Parquet file: {str(error).splitlines()[0]}") from None
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
