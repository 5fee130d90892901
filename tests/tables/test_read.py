"""The same table from any file it may be in."""

import csv
import gzip
import io
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rebnn_search.config import UserError
from rebnn_search.training.data.tables import is_table, read_table
from rebnn_search.training.data.tables._delimited import parse
from rebnn_search.training.data.tables.cells import is_missing

ROWS = [["größe", "art"], ["1,5", "Möwe"], ["2", ""], ["3;4", "é|a"]]


def text(separator: str, end: str = "\n") -> str:
    out = io.StringIO()
    csv.writer(out, delimiter=separator, lineterminator=end).writerows(ROWS)
    return out.getvalue()


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_encodings_separators_and_compression(tmp_path: Path, name: str, separator: str, encoding: str) -> None:
    content = text(separator, "\r\n").encode(encoding)
    path = tmp_path / name
    path.write_bytes(gzip.compress(content, mtime=0) if name.endswith("gz") else content)
    table = read_table(path, str(path))
    assert table.names == ["größe", "art"]
    assert table.columns == [["1,5", "2", "3;4"], ["Möwe", "", "é|a"]]
    assert table.lines == [2, 3, 4]
    assert table.separator == separator


CELL = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zs", "Zl", "Zp"]), min_size=1, max_size=6)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.lists(CELL, min_size=3, max_size=3), min_size=3, max_size=8),
    st.sampled_from(",;\t|"), st.sampled_from(["\n", "\r\n"]), st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)  # fmt: skip
def test_what_was_written_is_read(rows: list[list[str]], separator: str, end: str, encoding: str) -> None:
    out = io.StringIO()
    csv.writer(out, delimiter=separator, lineterminator=end).writerows([["one", "two", "three"], *rows])
    table = parse(out.getvalue().encode(encoding), "t")
    assert table.names == ["one", "two", "three"]
    assert [list(row) for row in zip(*table.columns, strict=True)] == rows


def test_a_spreadsheet_may_declare_its_separator(tmp_path: Path) -> None:
    table = parse(b"sep=;\na;b,c\n1;2\n3;4,5\n", "t")
    assert (table.names, table.columns, table.lines) == (["a", "b,c"], [["1", "3"], ["2", "4,5"]], [3, 4])


def test_a_comma_in_quoted_names_does_not_separate() -> None:
    table = parse(b'"length, in cm, all";y\n1;a\n2;b\n', "t")
    assert table.names == ["length, in cm, all", "y"]


def test_the_row_numbers_that_pandas_stores_are_no_column(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1.5, 2.5, 3.5, 4.5], "y": ["no", "no", "yes", "yes"]})
    frame.sample(frac=0.75, random_state=0).to_parquet(tmp_path / "shuffled.parquet")
    assert read_table(tmp_path / "shuffled.parquet", "t").names == ["a", "y"]
    frame.set_index(pd.Index(["p7", "p5", "p3", "p1"], name="patient")).to_parquet(tmp_path / "named.parquet")
    assert set(read_table(tmp_path / "named.parquet", "t").names) == {"a", "y", "patient"}, "a name says that it is meant"


def test_parquet_holds_what_text_holds(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "number": [0.1, float("nan"), 1e-300], "whole": [2**53, 1, -7], "truth": [True, False, True],
            "when": pd.to_datetime(["2024-01-02 03:04:05.5", None, "1999-12-31"], format="ISO8601"),
            "word": pd.Categorical(["é", None, "b "]),
        }
    )  # fmt: skip
    frame.to_parquet(tmp_path / "t.parquet")
    table = read_table(tmp_path / "t.parquet", "t")
    assert table.columns[0][::2] == ["0.1", "1e-300"]
    assert is_missing(table.columns[0][1])  # NaN or null, as the version of pandas writes it
    assert table.columns[1:3] == [["9007199254740992", "1", "-7"], ["True", "False", "True"]]
    assert table.columns[4] == ["é", "", "b"]
    assert table.columns[3][::2] == ["2024-01-02T03:04:05.500000", "1999-12-31T00:00:00"]
    assert table.typed == {"number", "whole", "truth", "when"}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"", r"t\.csv: needs a header, and rows below it"),
        ("t.csv", b"a,b\n1,2\n1,2,3\n", r"t\.csv:3: has 3 cells, the header has 2"),
        ("t.csv", b"a,a\n1,2\n", "two columns are called 'a'"),
        ("t.csv", b'a,b\n1,"2\n', r"t\.csv: is no CSV file: unexpected end of data"),
        ("t.csv", b"a,b\n1,2\n\x00\x01\x02,3\n", r"t\.csv:3: is no text: it holds the control character"),
        ("t.csv", b"\x89PNG\r\n\x1a\n" + bytes(50), "is no text"),
        ("t.csv.gz", gzip.compress(b"a,b\n1,2\n", mtime=0)[:-6], r"t\.csv\.gz: is damaged"),
        ("t.csv", b"\xff\xfea", r"t\.csv: is no text"),
        ("t.parquet", b"PAR1 and no more", r"t\.parquet: is damaged, or no Parquet file"),
        ("t.parquet", b"a,b\n1,2\n", r"t\.parquet: is no Parquet file"),
    ],
)
def test_what_is_no_table_is_one_message(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_table(path, str(path))


def test_what_is_called_a_table() -> None:
    assert all(is_table(Path(name)) for name in ("a.csv", "a.CSV.GZ", "b.tsv", "c.parquet", "c.pq"))
    assert not any(is_table(Path(name)) for name in ("a.npz", "a.gz", "csv", "a.png"))


def test_rows_that_are_all_too_short_are_told_by_line(tmp_path: Path) -> None:
    (tmp_path / "short.csv").write_text("size in cm;weight;kind\n" + "1,5;2,5\n" * 5, encoding="utf-8")
    with pytest.raises(UserError, match=r"short\.csv:2: has 2 cells, the header has 3"):
        read_table(tmp_path / "short.csv", str(tmp_path / "short.csv"))
