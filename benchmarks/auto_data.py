"""The data sets of `auto.py`: none was looked at while `rebnn_search.auto` was written.

Each is written as a user would have it, from a seed: of what is drawn by code the rows are new, of the others their order, and so the
splits.
"""

from __future__ import annotations

import csv
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_wine

IMAGES_OF_A_CLASS = 300
"""Of the folder of images."""


@dataclass(frozen=True)
class Source:
    """A data set.

    Attributes:
        write: Writes it into a folder by a seed; returns the file or folder.
        options: Of the command.
    """

    write: Callable[[Path, int], Path]
    options: tuple[str, ...] = ()


def wine(folder: Path, seed: int) -> Path:
    """178 wines of three growers, 13 numbers (scikit-learn's)."""
    bunch, draw = load_wine(), np.random.default_rng(seed)
    order = draw.permutation(len(bunch.target))
    rows = [[*map(float, bunch.data[row]), bunch.target_names[bunch.target[row]]] for row in order]
    return _write(folder / "wine.csv", [*bunch.feature_names, "grower"], rows)


def loans(folder: Path, seed: int) -> Path:
    """4,000 rows of numbers with gaps, words, yes and no and dates; 2 classes, a quarter late; 8 % of the labels turned."""
    draw, count = np.random.default_rng(seed), 4000
    income, sum_lent = draw.lognormal(8, 0.5, count), draw.lognormal(9, 0.7, count)
    job = draw.choice(
        ["clerk", "nurse", "driver", "self-employed", "retired", "none"], count, p=[0.3, 0.15, 0.2, 0.15, 0.15, 0.05]
    )
    owner, month = draw.random(count) < 0.4, draw.integers(1, 13, count)
    score = 1.4 * (np.log(sum_lent) - np.log(income)) + 1.5 * (job == "self-employed") * (income < 3000) - 1.2 * owner
    score += 1.2 * (job == "none") + 0.8 * np.isin(month, (11, 12)) - 0.6 * (job == "retired") * owner
    late = (score > np.quantile(score, 0.75)) ^ (draw.random(count) < 0.08)
    rows = [
        [
            "" if draw.random() < 0.1 else f"{income[row]:.0f}", f"{sum_lent[row]:.0f}", job[row], "yes" if owner[row] else "no",
            f"2019-{month[row]:02d}-{draw.integers(1, 29):02d}", f"{draw.normal():.2f}", "late" if late[row] else "paid",
        ]
        for row in range(count)
    ]  # fmt: skip
    return _write(folder / "loans.csv", ["income", "sum", "job", "owner", "date", "noise", "label"], rows)


def sensors(folder: Path, seed: int) -> Path:
    """3,000 rows of 12 numbers, five states that curve around each other, the rarest a thirtieth of the most frequent."""
    draw = np.random.default_rng(seed)
    shares = np.array([0.6, 0.25, 0.09, 0.04, 0.02])
    state = draw.choice(5, 3000, p=shares)
    angle = draw.uniform(0, 2 * np.pi, 3000)
    radius = 1.0 + state + draw.normal(0, 0.35, 3000)
    base = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    mixed = base @ np.random.default_rng(0).normal(size=(2, 12)) + draw.normal(0, 0.15, (3000, 12))
    rows = [[*(f"{value:.3f}".replace(".", ",") for value in mixed[row]), f"state {state[row]}"] for row in range(3000)]
    return _write(folder / "sensors.csv", [*(f"s{index}" for index in range(12)), "label"], rows, ";")


def shops(folder: Path, seed: int) -> Path:
    """2,500 rows of words alone: what sells depends on pairs of them, which no column alone tells."""
    draw, count = np.random.default_rng(seed), 2500
    names = {"town": 8, "day": 7, "goods": 6, "weather": 3, "clerk": 20}
    columns = {name: draw.integers(0, values, count) for name, values in names.items()}
    table = np.random.default_rng(1)
    first, second = table.integers(0, 3, (8, 6)), table.integers(0, 2, (7, 3))
    label = (first[columns["town"], columns["goods"]] + second[columns["day"], columns["weather"]]) % 3
    label = np.where(draw.random(count) < 0.05, draw.integers(0, 3, count), label)
    rows = [[*(f"{name} {columns[name][row]}" for name in names), ("few", "some", "many")[label[row]]] for row in range(count)]
    return _write(folder / "shops.tsv", [*names, "label"], rows, "\t")


def pictures(archive: Path) -> Callable[[Path, int], Path]:
    """Class folders of an archive with ``train/CLASS/*``: `IMAGES_OF_A_CLASS` of each class, drawn by the seed."""

    def write(folder: Path, seed: int) -> Path:
        root = folder / "pictures"
        with tarfile.open(archive) as tar:
            members = [member for member in tar.getmembers() if member.isfile() and member.name.split("/")[-3:-2] == ["train"]]
            by_class: dict[str, list[tarfile.TarInfo]] = {}
            for member in sorted(members, key=lambda member: member.name):
                by_class.setdefault(member.name.split("/")[-2], []).append(member)
            draw = np.random.default_rng(seed)
            chosen = {
                member.name: name
                for name, found in sorted(by_class.items())
                for member in (found[index] for index in draw.permutation(len(found))[:IMAGES_OF_A_CLASS])
            }
            for member in members:  # in the archive's order: it is compressed as a whole
                if member.name in chosen:
                    file = tar.extractfile(member)
                    assert file is not None
                    target = root / chosen[member.name] / Path(member.name).name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(file.read())
        return root

    return write


def sources(images: Path | None) -> Mapping[str, Source]:
    """All, by name; the pictures where there is an archive."""
    found = {
        "wine": Source(wine, ("--label", "grower")),
        "loans": Source(loans),
        "sensors": Source(sensors),
        "shops": Source(shops),
    }
    return found if images is None else {**found, "pictures": Source(pictures(images))}


def _write(path: Path, names: list[str], rows: list[list[Any]], delimiter: str = ",") -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter).writerows([names, *rows])
    return path
