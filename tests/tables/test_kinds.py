"""What a column is taken for, and what its cells become."""

from datetime import UTC, datetime

import numpy as np
import pytest

from rebnn_search.training.data.tables._dates import date_parts
from rebnn_search.training.data.tables._kinds import Notation, kind_of, notation, why_useless
from rebnn_search.training.data.tables._labels import is_regression
from rebnn_search.training.data.tables.cells import numbers, truths

POINT = Notation()


@pytest.mark.parametrize(
    ("cells", "decimal", "expected"),
    [
        (["1", "-2.5", "1e3", ".5"], ".", [1, -2.5, 1000, 0.5]),
        (["1,234.5", "12", "1,000,000"], ".", [1234.5, 12, 1e6]),
        (["1 234", "1'234.5", "−3"], ".", [1234, 1234.5, -3]),
        (["1.234,5", "12", "0,25", "1 000"], ",", [1234.5, 12, 0.25, 1000]),
        (["", "NA", "?", "null", "tall", "1,2,3", "12,34", "inf", "1e999"], ".", [np.nan] * 9),
        (["1.5", "1,2,3", "12.34"], ",", [np.nan] * 3),
        (["18_25", "1_000", "7"], ".", [np.nan, np.nan, 7]),  # codes, though Python reads two of them
        (["18_25", "7,5"], ",", [np.nan, 7.5]),
    ],
)
def test_numbers(cells: list[str], decimal: str, expected: list[float]) -> None:
    np.testing.assert_array_equal(numbers(cells, decimal), expected)  # type: ignore[arg-type]


def test_truths() -> None:
    np.testing.assert_array_equal(truths(["Yes", "FALSE", "t", "", "perhaps"]), [1, 0, 1, np.nan, np.nan])


@pytest.mark.parametrize(
    ("cells", "kind", "detail"),
    [
        (["1", "2", "3.5", ""], "number", "."),
        (["1,5", "2", "NA"], "number", ","),
        (["1,234.5", "7"], "number", "."),
        (["1.234,5", "7"], "number", ","),
        ([str(n) for n in range(95)] + ["tall"] * 5, "number", "."),
        ([str(n) for n in range(90)] + ["tall"] * 10, "category", ""),
        (["Yes", "no", ""], "boolean", ""),
        (["True", "False"], "boolean", ""),
        (["yes", "no", "perhaps"], "category", ""),
        (["2024-01-31", "2024-2-1 12:30"], "date", "iso"),
        (["2024-01-31T12:00:00Z", "2024-01-31T14:00:00+02:00"], "date", "iso"),
        (["31.01.2024", "01.02.2024 10:15"], "date", "dmy"),
        (["1/31/2024", "2/1/2024"], "date", "mdy"),
        (["1/2/2024", "2/1/2024"], "date", "mdy"),
        (["red", "green"], "category", ""),
        (["18_25", "26_35"], "category", ""),
        (["", "NA"], "number", "."),
    ],
)
def test_kinds(cells: list[str], kind: str, detail: str) -> None:
    found = kind_of(cells, POINT, ",", False)
    assert found.name == kind
    assert {"number": found.decimal, "date": found.date}.get(kind, "") == detail


def test_columns_that_leave_no_doubt_speak_for_those_that_do() -> None:
    said = notation([["1,5", "2,25"], ["1.234", "5.678"]], ";")
    assert said == Notation(",", "dmy")
    thousands = kind_of(["1.234", "5.678"], said, ";", False)
    assert numbers(["1.234"], thousands.decimal)[0] == 1234
    assert kind_of(["1/2/2024"], said, ";", False).date == "dmy"
    # One column with points and one with commas: nothing is said of a third.
    assert notation([["1,5"], ["2.75"], ["1.234"]], ",").decimal == "."
    assert kind_of(["1.234", "5.678"], POINT, ",", False).decimal == "."
    assert numbers(["1,234"], kind_of(["1,234", "5,678"], POINT, ",", False).decimal)[0] == 1234
    assert numbers(["1,234"], kind_of(["1,234", "5,678"], POINT, ";", False).decimal)[0] == 1.234


def test_a_date_that_proves_its_order_speaks_for_those_that_do_not() -> None:
    visits, firsts = ["25/12/2020", "03/01/2021"], ["01/01/2020", "01/02/2020", "01/03/2020"]
    said = notation([firsts, visits, ["red", "blue"], ["1", "2"]], ",")
    assert said == Notation(".", "dmy")
    assert date_parts(firsts, kind_of(firsts, said, ",", False).date)[:, 1].tolist() == [1, 2, 3]
    american = ["12/25/2020", "01/03/2021"]
    assert notation([american, firsts], ";").date == "mdy"
    # One of each kind: nothing is said of the third.
    assert notation([american, visits, firsts], ",").date == "mdy" and notation([american, visits, firsts], ";").date == "dmy"


def test_dates_are_seconds_month_weekday_and_hour() -> None:
    found = date_parts(["2024-02-29T12:30:00+02:00", "1969-12-31", "no date", "2024-02-30"], "iso")
    assert found[0].tolist() == [datetime(2024, 2, 29, 10, 30, tzinfo=UTC).timestamp(), 2, 3, 12.5]
    assert found[1].tolist() == [-86400, 12, 2, 0]
    assert np.isnan(found[2:]).all()
    for order in ("dmy", "mdy"):  # what is unambiguous is read whatever the order
        assert date_parts(["2024-01-31 06:45"], order)[0].tolist() == date_parts(["2024-01-31 06:45"], "iso")[0].tolist()
    assert date_parts(["31.01.2024 06:45"], "dmy")[0].tolist() == date_parts(["2024/01/31 06:45"], "iso")[0].tolist()


ROWS = np.arange(0, 60, 2)
"""Where training rows stand in a file of 60."""
RUNNING = [str(row + 1) for row in ROWS]
SHUFFLED = np.random.default_rng(0).permutation(ROWS)


@pytest.mark.parametrize(
    ("name", "cells", "why"),
    [
        ("n", RUNNING, "identifier: runs with the rows"),
        ("n", [str(1000 + 7 * row) for row in ROWS], "identifier: runs with the rows"),
        ("n", [str(100 + row + row // 20) for row in ROWS], "identifier: runs with the rows"),
        ("n", [str(row) for row in SHUFFLED], "identifier: numbers the rows"),
        ("customer_id", [str(row**2 + 9) for row in SHUFFLED], "identifier: by its name, and every value is another"),
        ("area", [str(row**2 + 9) for row in SHUFFLED], None),
        ("n", [f"{row / 7:.4f}" for row in ROWS], None),
        ("n", [str(row % 9) for row in ROWS], None),
        ("name", [f"Name {row}" for row in ROWS], "identifier: every value is another"),
        ("text", [f"Name {row // 3}" for row in ROWS], "text: 20 different values in 30 rows"),
        ("town", [f"Town {row % 8}" for row in ROWS], None),
        ("c", ["7"] * 30, "always '7'"),
        ("c", ["", "NA"] * 15, "empty"),
        ("c", ["x", ""] * 15, None),
        ("c", ["5", ""] * 15, None),
    ],
)
def test_what_tells_nothing_is_named(name: str, cells: list[str], why: str | None) -> None:
    assert why_useless(name, cells, kind_of(cells, POINT, ",", False), ROWS, 60) == why


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        ([f"{n / 7:.3f}" for n in range(60)], True),
        ([f"{n / 7:.3f}".replace(".", ",") for n in range(60)], True),
        ([str(n * 1000) for n in range(60)], True),
        ([f"{n % 20}" for n in range(60)], False),
        ([f"{n % 10 / 2}" for n in range(60)], False),
        ([str(n % 30) for n in range(900)], False),
        ([f"n{n}" for n in range(60)], False),
    ],
)
def test_a_target_of_many_numbers_is_regression(labels: list[str], found: bool) -> None:
    assert is_regression(labels) is found


def test_an_end_of_time_with_an_offset_is_missing() -> None:
    """Of which UTC is beyond what a date can be."""
    found = date_parts(["9999-12-31T23:59:59-05:00", "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59"], "iso")
    assert np.isnan(found[:2]).all() and np.isfinite(found[2]).all()
