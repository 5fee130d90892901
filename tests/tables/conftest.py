"""A table of every kind of column, as text and as Parquet."""

import random
from pathlib import Path

import pytest

HEADER = ["id", "name", "sex", "age", "fare", "town", "joined", "always", "member", "note", "kind"]


def rows(count: int = 240) -> list[list[str]]:
    """Rows whose class follows from sex and membership."""
    draw = random.Random(0)
    found = []
    for index in range(count):
        sex, member = draw.choice(["woman", "man", "männlich"]), draw.choice(["yes", "no"])
        fare = draw.choice([7.25, 12.0, 1234.5, 99.9])
        kind = "rose" if sex == "woman" else "lily" if member == "yes" else "tulip"
        town = draw.choice(["Köln", "Paris", "Oslo", f"village {draw.randrange(60)}"])
        age = "" if draw.random() < 0.1 else str(draw.randrange(1, 90))
        joined = f"2024-{draw.randrange(1, 13):02d}-{draw.randrange(1, 29):02d} {draw.randrange(24):02d}:30"
        note = draw.choice(["", "", "", "x", "y"])
        found.append([str(index + 1), f"Name {index}", sex, age, repr(fare), town, joined, "same", member, note, kind])
    return found


def as_text(table: list[list[str]], separator: str = ",") -> str:
    return "\n".join(separator.join(row) for row in [HEADER, *table]) + "\n"


@pytest.fixture(scope="session")
def mixed() -> list[list[str]]:
    return rows()


@pytest.fixture(scope="session")
def mixed_file(mixed: list[list[str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mixed") / "mixed.csv"
    path.write_text(as_text(mixed), encoding="utf-8")
    return path
