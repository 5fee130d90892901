"""Tables: how they are read, what their columns are, and how these become features."""

from rebnn_search.training.data.tables._fit import Fitted, fit
from rebnn_search.training.data.tables._labels import is_regression, labels_of
from rebnn_search.training.data.tables._notes import notes
from rebnn_search.training.data.tables._parquet import table_of
from rebnn_search.training.data.tables._read import is_table, read_table
from rebnn_search.training.data.tables._stored import Preprocessing
from rebnn_search.training.data.tables._table import Table

__all__ = [
    "Fitted",
    "Preprocessing",
    "Table",
    "fit",
    "is_regression",
    "is_table",
    "labels_of",
    "notes",
    "read_table",
    "table_of",
]
