"""Features against scikit-learn's ColumnTransformer, and what is kept of them in a model."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder

from rebnn_search.config import UserError
from rebnn_search.training.data import Csv
from rebnn_search.training.data.tables import Preprocessing, fit, notes, read_table
from rebnn_search.training.data.tables._delimited import parse
from tests.tables.conftest import HEADER, as_text


def test_features_are_scikit_learn_s(mixed: list[list[str]], mixed_file: Path) -> None:
    table = read_table(mixed_file, "t")
    train = np.arange(0, len(mixed), 2)
    fitted = fit(table, "kind", ["age", "fare", "sex", "town", "note"], train, "t")
    found = fitted.preprocessing.features(table, "t")
    frame = pd.DataFrame(mixed, columns=HEADER)
    frame[["age", "fare"]] = frame[["age", "fare"]].apply(pd.to_numeric)
    oracle = ColumnTransformer(
        [
            ("numbers", SimpleImputer(strategy="median", add_indicator=True), ["age", "fare"]),
            (
                "words",
                OneHotEncoder(max_categories=32, min_frequency=3, handle_unknown="infrequent_if_exist", sparse_output=False),
                ["sex", "town", "note"],
            ),
        ]
    ).fit(frame.iloc[train])
    expected = oracle.transform(frame)
    # There the marks of what is missing come after all numbers, here after each.
    order = [0, 2, 1, *range(3, expected.shape[1])]
    np.testing.assert_array_equal(found, expected[:, order])


def test_the_training_rows_alone_are_fitted_to(mixed: list[list[str]]) -> None:
    train = np.arange(0, len(mixed), 2)
    fits = []
    for changed in (False, True):
        rows = [list(row) for row in mixed]
        for index in range(1, len(rows), 2) if changed else ():
            rows[index][2:7] = ["nobody", "", "1e6", "elsewhere", "2030-01-01"]
        fits.append(fit(parse(as_text(rows).encode(), "t"), "kind", None, train, "t"))
    assert fits[0] == fits[1]


def test_every_column_is_accounted_for(mixed_file: Path) -> None:
    data = Csv(path=str(mixed_file), label="kind").open()
    kinds = {column.name: column.kind for column in data.fitted.preprocessing.columns}
    assert kinds == {
        "sex": "category", "age": "number", "fare": "number", "town": "category", "joined": "date", "member": "boolean",
        "note": "category",
    }  # fmt: skip
    assert data.fitted.left_out == {
        "id": "identifier: runs with the rows", "name": "identifier: every value is another", "always": "always 'same'",
    }  # fmt: skip
    assert data.channels == data.fitted.preprocessing.width
    said = "\n".join(notes(read_table(mixed_file, "t"), data.fitted, "t"))
    assert "2 numbers (age, fare)" in said
    assert "1 date (joined (year-month-day))" in said
    assert "missing, filled in and marked: age" in said
    assert "left out: 'id' (identifier: runs with the rows), 'name' (identifier" in said


def test_named_features_are_kept_as_they_are_named(mixed_file: Path) -> None:
    data = Csv(path=str(mixed_file), label="kind", features=["always", "id", "fare"]).open()
    assert [column.name for column in data.fitted.preprocessing.columns] == ["always", "id", "fare"]
    for features, message in (
        (["fare", "kind"], "'kind' is the column of labels"),
        (["fare", "fare"], "'fare' is there twice"),
        (["far"], "has no column 'far'; it has id, name"),
    ):
        with pytest.raises(UserError, match=message):
            Csv(path=str(mixed_file), label="kind", features=features).open()


def test_plain_numbers_without_gaps_keep_every_column(tmp_path: Path) -> None:
    lines = [f"{row},{row * 37 % 61 / 4},5,{'ab'[row % 2]}" for row in range(60)]
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["id,x,five,y", *lines]), encoding="utf-8")
    data: Any = Csv(path=str(path), label="y").open()
    assert data.channels == 3
    assert data.fitted.left_out == {}
    raw = sorted(row for split in ("train", "validation", "test") for row in data.samples(split).images.flatten(1).tolist())
    assert raw == sorted([float(cell) for cell in line.split(",")[:3]] for line in lines)
    # With one gap it is read as any other table.
    path.write_text(path.read_text(encoding="utf-8").replace("\n0,0.0,", "\n0,,", 1), encoding="utf-8")
    assert list(Csv(path=str(path), label="y").open().fitted.left_out) == ["id", "five"]


def test_words_that_are_too_rare_are_left_out_also_where_nothing_else_is(tmp_path: Path) -> None:
    lines = [f"{row * 37 % 61 / 4},word{row // 2},{'ab'[row % 2]}" for row in range(60)]
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["x,w,y", *lines]), encoding="utf-8")
    fitted = Csv(path=str(path), label="y").open().fitted
    assert [column.name for column in fitted.preprocessing.columns] == ["x"] and list(fitted.left_out) == ["w"]


def test_a_table_without_anything_to_learn_from_is_told(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["id,c,y", *(f"n{row},x,{'ab'[row % 2]}" for row in range(40))]), encoding="utf-8")
    with pytest.raises(UserError, match=r"no column is left to learn from \(id: identifier: every value is another; c: always"):
        Csv(path=str(path), label="y").open()


def test_a_regression_target_is_named(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["x,price", *(f"{row},{row / 8}" for row in range(100))]), encoding="utf-8")
    with pytest.raises(UserError, match=r"column 'price' holds 100 different numbers .* is regression"):
        Csv(path=str(path), label="price").open()


@pytest.mark.parametrize("labels", [["1", "2"], ["True", "False"], ["a", "ü"]])
def test_labels_of_any_kind(tmp_path: Path, labels: list[str]) -> None:
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["x,y", *(f"{row * 37 % 61},{labels[row % 2]}" for row in range(60))]), encoding="utf-8")
    assert Csv(path=str(path), label="y").open().classes == sorted(labels)


def test_joining_the_splits_keeps_what_was_fitted(mixed_file: Path) -> None:
    data = Csv(path=str(mixed_file), label="kind", repeat=2).open()
    joined: Any = data.joined()
    assert joined.fitted is data.fitted
    assert joined.size("train") == 2 * (len(data.labels("train")) + len(data.labels("validation")))


def stored(mixed_file: Path) -> Any:
    return Csv(path=str(mixed_file), label="kind").open().fitted.preprocessing.model_dump()


def test_what_is_stored_reads_back_from_json(mixed_file: Path) -> None:
    plain = stored(mixed_file)
    read = Preprocessing.model_validate(json.loads(json.dumps(plain, allow_nan=False)))
    table = read_table(mixed_file, "t")
    again = Csv(path=str(mixed_file), label="kind").open().fitted.preprocessing
    np.testing.assert_array_equal(read.features(table, "t"), again.features(table, "t"))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda c: c.clear(), "at least 1 item"),
        (lambda c: c[0].update(kind="code"), "tag"),
        (lambda c: c[0].update(frequent=["a", "a"]), "twice"),
        (lambda c: c[0].update(frequent=[], others=False), "needs a value"),
        (lambda c: c[1].update(fill=float("nan")), "finite"),
        (lambda c: c[1].update(fill="1"), "number"),
        (lambda c: c[1].update(decimal="x"), "'.' or ','"),
        (lambda c: c[1].update(marked=1), "boolean"),
        (lambda c: c[1].update(more=1), "unknown key"),
        (lambda c: c[4].update(fills=[]), "one for each of the parts"),
        (lambda c: c[4].update(order="%Y"), "iso"),
        (lambda c: c.append(c[0]), "twice"),
    ],
)
def test_a_section_that_lies_is_refused(mixed_file: Path, spoil: Any, message: str) -> None:
    plain = stored(mixed_file)
    spoil(plain["columns"])
    with pytest.raises(ValidationError, match=message):
        Preprocessing.model_validate(plain)
