"""What belongs together is in one split, whatever file it comes from."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from rebnn_search.auto._look import look_at
from rebnn_search.auto.source import Source
from rebnn_search.config import UserError
from rebnn_search.training.data import Csv, ImageFolder
from rebnn_search.training.data.base import SPLITS
from rebnn_search.training.data.splits import drawn_splits

PATIENTS, VISITS = 40, 5


def write_table(path: Path) -> Path:
    """Visits of patients; ``serial`` is a feature that tells each visit from all others."""
    random = np.random.RandomState(0)
    rows = [
        f"p{patient},{1000 * patient + visit + random.randint(100) / 1000},{random.rand():.3f},{'sick' if patient % 3 else 'well'}"
        for patient in range(PATIENTS)
        for visit in range(VISITS)
    ]
    random.shuffle(rows)
    path.write_text("\n".join(["patient,serial,age,state", *rows]) + "\n", encoding="utf-8")
    return path


def write_pictures(root: Path, patients: Sequence[int], split: str = "") -> Path:
    for patient in patients:
        for view in ("front", "side"):  # of one patient, one in each class
            file = root / split / view / f"patient{patient:02}" / f"{view}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (8, 8), 3 * patient).save(file)
    return root


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=60, max_size=200), st.integers(0, 5))
def test_no_group_is_in_two_splits_and_shares_are_near(numbers: list[int], seed: int) -> None:
    groups = torch.tensor(numbers)
    targets = torch.arange(len(numbers)) % 2
    try:
        drawn = drawn_splits(targets, {"test": 0.2, "validation": 0.2}, seed, ["a", "b"], "t", groups)
    except UserError:  # a few large groups cannot be dealt out
        return
    assert sorted(torch.cat(list(drawn.values())).tolist()) == list(range(len(numbers)))
    sides = [set(groups[rows].tolist()) for rows in drawn.values()]
    assert sum(map(len, sides)) == len(set(numbers))
    largest = int(torch.bincount(groups).max())
    for split in ("test", "validation"):
        assert abs(len(drawn[split]) - 0.2 * len(numbers)) <= largest + len(sides)


def test_a_patients_rows_stay_together_and_who_it_is_is_not_learned(tmp_path: Path) -> None:
    path = write_table(tmp_path / "t.csv")
    alone = Csv(path=str(path), label="state").open()
    assert "patient" in [column.name for column in alone.fitted.preprocessing.columns]
    data = Csv(path=str(path), label="state", group="patient").open()
    assert [column.name for column in data.fitted.preprocessing.columns] == ["serial", "age"]
    patients = {split: {int(row) // 1000 for row in data.samples(split).images[:, 0, 0, 0].tolist()} for split in SPLITS}
    assert sum(map(len, patients.values())) == len(set.union(*patients.values())) == PATIENTS
    assert 6 <= len(patients["test"]) <= 10
    again = Csv(path=str(path), label="state", group="patient").open()
    assert all(torch.equal(data.samples(split).images, again.samples(split).images) for split in SPLITS)
    look = look_at(Source(path, "state", "patient"))
    assert look.data["group"] == "patient"
    assert look.data["features"] == ["serial", "age"]
    assert look.notes[-1] == "rows with one 'patient' stay together: 40 groups"


@pytest.mark.parametrize(
    ("group", "message"),
    [
        ("name", r"no column 'name' of groups; it has patient, serial, age, state"),
        ("state", r"data\.group: 'state' is the column of labels"),
        ("gap", r"t\.csv:3: column 'gap': the group is missing"),
        ("one", r"column 'one': all samples are of the group 'x'"),
    ],
)
def test_a_column_that_makes_no_groups_is_refused(tmp_path: Path, group: str, message: str) -> None:
    path = write_table(tmp_path / "t.csv")
    head, first, second, *rest = path.read_text(encoding="utf-8").splitlines()
    lines = [f"{head},gap,one", f"{first},1,x", f"{second},,x", *(f"{row},2,x" for row in rest)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    if group == "name":
        message = message.replace("state", "state, gap, one")
    with pytest.raises(UserError, match=message):
        Csv(path=str(path), label="state", group=group).open()


def test_a_group_is_no_feature(tmp_path: Path) -> None:
    path = write_table(tmp_path / "t.csv")
    with pytest.raises(UserError, match=r"data\.features: 'patient' is the column of groups"):
        Csv(path=str(path), label="state", features=["age", "patient"], group="patient").open()


def test_too_few_groups_of_a_class_are_told_of(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("g,x,y\n" + "".join(f"{'ab'[row % 2]},{row},{'uv'[row % 2]}\n" for row in range(20)), encoding="utf-8")
    with pytest.raises(UserError, match=r"class 'u': its samples belong together in too few groups to split off test"):
        Csv(path=str(path), label="y", group="g").open()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("size", [2, 50])
def test_three_groups_of_a_class_go_to_three_splits(seed: int, size: int) -> None:
    groups = torch.arange(6 * size) // size
    drawn = drawn_splits(groups % 2, {"test": 0.2, "validation": 0.2}, seed, ["a", "b"], "t", groups)
    assert {split: len(rows) for split, rows in drawn.items()} == {"train": 2 * size, "validation": 2 * size, "test": 2 * size}
    assert all(len(set(groups[rows].tolist())) == 2 for rows in drawn.values())


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(10, 100), min_size=12, max_size=12), st.integers(0, 3))
def test_groups_of_one_class_each_are_always_dealt_out(sizes: list[int], seed: int) -> None:
    """Three of each of four classes, of any size."""
    groups = torch.repeat_interleave(torch.arange(12), torch.tensor(sizes))
    drawn = drawn_splits(groups % 4, {"test": 0.2, "validation": 0.2}, seed, list("abcd"), "t", groups)
    assert [sorted((groups[rows] % 4).unique().tolist()) for rows in drawn.values()] == [[0, 1, 2, 3]] * 3
    assert sum(len(groups[rows].unique()) for rows in drawn.values()) == 12


@pytest.mark.parametrize("resident", [True, False])
def test_a_patients_pictures_stay_together(tmp_path: Path, resident: bool) -> None:
    root = write_pictures(tmp_path / "all", range(20))
    dataset = ImageFolder(root=str(root), image_size=8, resident=resident, validation=0.2, test=0.2, group=r"patient\d+")
    _, listings = dataset._list()
    patients = {split: {file.parent.name for file in listing.files} for split, listing in listings.items()}
    assert sum(map(len, patients.values())) == 20
    assert {split: len(names) for split, names in patients.items()} == {"train": 12, "validation": 4, "test": 4}
    assert dataset.open().size("train") == 24
    look = look_at(Source(root, group=r"patient(\d+)"))
    assert "pictures of one group stay together: 20 groups" in look.notes
    assert look.open(image_size=8).size("train") == 24


def test_folders_of_splits_must_have_patients_of_their_own(tmp_path: Path) -> None:
    sites = tmp_path / "sites"
    for site, split in ((1, "train"), (2, "val"), (3, "test")):
        write_pictures(sites, range(10 * site, 10 * site + 4), split)
    assert ImageFolder(root=str(sites), image_size=8, group=r"patient(\d)").open().size("train") == 8  # nothing is drawn
    root = write_pictures(tmp_path / "own", range(10), "train")
    write_pictures(root, range(10, 14), "test")
    options = {"root": str(root), "image_size": 8, "validation": 0.2, "group": r"patient(\d+)"}
    assert ImageFolder(**options).open().size("test") == 8
    write_pictures(root, [3], "test")
    with pytest.raises(UserError, match="group '03' is in the folders of two splits, train and test"):
        ImageFolder(**options).open()


def test_an_expression_must_be_one_and_be_found(tmp_path: Path) -> None:
    root = write_pictures(tmp_path / "p", range(10))
    with pytest.raises(ValueError, match=r"group is no regular expression: .*position 0"):
        ImageFolder(root=str(root), group="(")
    with pytest.raises(UserError, match=r"--group \(: is no regular expression"):
        look_at(Source(root, group="("))
    with pytest.raises(UserError, match=r"'case\\\\d' is nowhere in 'front/patient00/front.png'"):
        ImageFolder(root=str(root), group=r"case\d").open()
    np.savez(tmp_path / "a.npz", X=np.zeros((30, 4)), y=np.arange(30) % 2)
    with pytest.raises(UserError, match=r"--group x: is for tables and folders of images"):
        look_at(Source(tmp_path / "a.npz", group="x"))
