"""The command as a user runs it, and what it sees in data before it trains anything."""

import csv
import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from support.commands import call

from rebnn_search.auto._alternatives import majority_scores
from rebnn_search.auto._look import look_at
from rebnn_search.auto._plan import plan_for
from rebnn_search.auto._repeated import repeated, repeated_lines
from rebnn_search.auto.run import describe_balance
from rebnn_search.auto.source import Source
from rebnn_search.config import UserError
from rebnn_search.study.load import load_search
from rebnn_search.training import load_recipe
from rebnn_search.training.data import from_arrays

RNG = np.random.default_rng(0)


def command(folder: Path, module: str, *args: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = call(module, *args, cwd=folder)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def write_table(path: Path, count: int = 200, **changes: str) -> Path:
    """Two kinds of flower that their first number tells apart."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["length", "width", "kind"])
        for index in range(count):
            kind = index % 4 == 0
            row = [f"{RNG.normal(3 if kind else 0):.3f}", f"{RNG.normal():.3f}", "rose" if kind else "lily"]
            if index == 7:
                row = [changes.get("length", row[0]), changes.get("width", row[1]), changes.get("kind", row[2])]
            writer.writerow(row)
    return path


def write_images(root: Path, counts: dict[str, int], side: int = 12, colour: bool = False) -> Path:
    for label, (name, count) in enumerate(counts.items()):
        (root / name).mkdir(parents=True)
        for index in range(count):
            pixels = RNG.integers(0, 60, (side, side + 3, 3) if colour else (side, side + 3), dtype=np.uint8)
            Image.fromarray(pixels + np.uint8(80 * label)).save(root / name / f"{index}.png")
    return root


def test_from_a_table_to_predictions(tmp_path: Path, ray_here: str, tracking_database: Path) -> None:
    write_table(tmp_path / "flowers.csv")
    shutil.copy(tracking_database, tmp_path)
    done = command(tmp_path, "auto", "flowers.csv", "--label", "kind", "--time", "45s", "--seeds", "1", "--out", "made")
    assert "a table of 200 rows and 2 features" in done.stdout
    assert "guessing the largest class: 75.00 %" in done.stdout
    result = json.loads((tmp_path / "made" / "auto.json").read_text(encoding="utf-8"))
    assert result["test_top1"] > result["majority"] == 75.0
    # On a machine that is too busy for a search it says that it trained without one.
    without = "no search: " in done.stdout or "the time to search was over" in done.stdout
    assert (result["trials"] == 0) is without
    # The files that it made are a recipe and a search that can be run by hand.
    search = load_search(tmp_path / "made" / "auto.yaml")
    assert search.base["data"] == load_recipe(tmp_path / "made" / "recipe.yaml").dump()["data"]
    # The command that it printed classifies; columns are found by name and labels passed over.
    printed = re.search(r"classify with it: \S+ -m rebnn_search\.predict (\S+) \S+", done.stdout)
    assert printed is not None
    assert printed[1] == "made/model.safetensors"
    (tmp_path / "new.csv").write_text("kind,width,length\n?,0.1,4.5\n?,0.1,-1.5\n", encoding="utf-8")
    found = json.loads(command(tmp_path, "predict", "--json", "made/model.safetensors", "new.csv").stdout)
    assert [row["class"] for row in found] == ["rose", "lily"]
    assert "has no column 'length'" in (command_on_another_table(tmp_path).stderr)
    done = command(tmp_path, "auto", "flowers.csv", "--label", "kind", "--out", "made", code=2)
    assert done.stderr == "error: --out made: already holds something: choose another folder\n"


def command_on_another_table(folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "other.csv").write_text("width,height\n1,2\n", encoding="utf-8")
    return command(folder, "predict", "made/model.safetensors", "other.csv", code=2)


def test_too_little_time_is_said_with_the_smallest_that_would_do(tmp_path: Path) -> None:
    write_images(tmp_path / "pictures", {"dark": 40, "bright": 20})
    done = command(tmp_path, "auto", "pictures", "--time", "5s", code=2)
    assert re.search(r"error: --time 5s: is too short even for the smallest network .*: --time \d+s would do", done.stderr)
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "auto-pictures").exists()


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ({"kind": ""}, r":9: column 'kind': the label is missing; a row without one teaches nothing: take it away"),
        (
            {"kind": "NA"},
            r":9: column 'kind': the label is missing \('NA' stands for no value: a class must have another name\)",
        ),
        ({"kind": "tulip"}, r"class 'tulip' has 1 sample: each needs at least 3"),
    ],
)
def test_a_table_s_faults_name_line_and_column(tmp_path: Path, cell: dict[str, str], message: str) -> None:
    path = write_table(tmp_path / "flowers.csv", **cell)
    with pytest.raises(UserError, match=re.escape(str(path)) + ".*" + message):
        look_at(Source(path, "kind")).open()


def test_gaps_and_what_is_no_number_are_filled_in_and_said(tmp_path: Path) -> None:
    look = look_at(Source(write_table(tmp_path / "flowers.csv", length="tall", width=""), "kind"))
    assert look.notes[1:] == [
        "columns: 2 numbers (length, width)",
        "missing, filled in and marked: width 0.5 %",
        "taken as missing: length: 'tall' in line 9 is no number with a decimal point",
    ]
    assert look.open().num_classes == 2


def test_identifiers_and_constants_are_left_out_of_plain_numbers_too(tmp_path: Path) -> None:
    lines = [f"{row + 1},{row * 37 % 61 / 4},5,{'ab'[row % 2]}" for row in range(60)]
    (tmp_path / "t.csv").write_text("\n".join(["id,x,five,y", *lines]), encoding="utf-8")
    look = look_at(Source(tmp_path / "t.csv"))
    assert look.data["features"] == ["x"]
    assert look.notes[-1] == "left out: 'id' (identifier: runs with the rows), 'five' (always '5')"


def test_a_target_of_many_numbers_is_named_as_regression(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("\n".join(["x,y", *(f"{row % 7},{row / 8}" for row in range(90))]), encoding="utf-8")
    with pytest.raises(UserError, match=r"t\.csv: column 'y' holds 90 different numbers .* is regression"):
        look_at(Source(tmp_path / "t.csv"))


def test_the_label_must_be_known(tmp_path: Path) -> None:
    path = write_table(tmp_path / "flowers.csv")
    with pytest.raises(UserError, match=r"which column holds the labels\? Say --label COLUMN; there are length, width, kind"):
        look_at(Source(path))
    with pytest.raises(UserError, match=r"--label sort: .* has no such column; there are length, width, kind"):
        look_at(Source(path, "sort"))
    path.write_text(path.read_text(encoding="utf-8").replace("kind", "Class", 1).replace(",", ";"), encoding="utf-8-sig")
    look = look_at(Source(path))
    assert look.data["label"] == "Class"
    assert look.open().classes == ["lily", "rose"]
    for text, message in (
        ("", "needs a header"),
        ("a,b\n", "and rows below it"),
        ("a,b\n1,2\n1,2,3\n", ":3: has 3 cells, the header has 2"),
        ("a,a\n1,2\n", "two columns are called 'a'"),
        ("a,y\n1,x\n2,x\n3,x\n4,x\n", "one class"),
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(UserError, match=message):
            look_at(Source(path, text[2:3] if text.startswith("a,y") else "a")).open()


def test_a_table_is_standardised_from_its_training_split_alone(tmp_path: Path) -> None:
    data: Any = look_at(Source(write_table(tmp_path / "flowers.csv"), "kind")).open(repeat=3)
    rows = data.samples("train").images
    assert data.size("train") == 3 * len(rows) == 3 * 120
    assert data.mean.flatten().tolist() == pytest.approx(rows.mean((0, 2, 3)).tolist())
    taken = np.concatenate([y for _, y in data.batches("train", batch_size=32, shuffle=True)])
    assert np.bincount(taken).tolist() == (3 * np.bincount(data.labels("train"))).tolist()


def test_what_is_seen_in_a_folder(tmp_path: Path) -> None:
    root = write_images(tmp_path / "pictures", {"bright": 10, "dark": 40})
    (root / "dark" / "notes.txt").write_text("no image", encoding="utf-8")
    look = look_at(Source(root))
    assert look.notes[0] == "50 grey images, the shorter side 12 to 12 pixels"
    assert "passed over 1 file not named as images: dark/notes.txt" in look.notes[1]
    data = look.open(image_size=8)
    assert (data.channels, data.image_size) == (1, 8)
    assert majority_scores(data).top1 == 80.0
    assert describe_balance(data).endswith("largest 'dark' 80.0 %, smallest 'bright' 20.0 %: uneven")
    assert (
        look_at(Source(write_images(tmp_path / "coloured", {"a": 4, "b": 4}, colour=True)))
        .notes[0]
        .startswith("8 colour images")
    )
    split = tmp_path / "split"
    for name in ("train", "val", "test"):
        write_images(split / name, {"a": 6, "b": 6})
    even = look_at(Source(split)).open(image_size=8)
    assert even.size("test") == 12
    assert describe_balance(even).endswith("2 classes, 12 to train on, 12 to validate on, 12 to test; each class 50.0 %")
    write_images(split / "more", {"a": 6, "b": 6})
    assert "passed over, being neither to train on, to validate on nor to test: more" in look_at(Source(split)).notes


def test_a_folder_s_faults_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file or folder"):
        look_at(Source(tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="needs at least two class folders, has none"):
        look_at(Source(tmp_path / "empty"))
    with pytest.raises(UserError, match="needs at least two class folders, has only 'a'"):
        look_at(Source(write_images(tmp_path / "one", {"a": 5})))
    with pytest.raises(UserError, match="class 'b' has 1 sample: each needs at least 3"):
        look_at(Source(write_images(tmp_path / "single", {"a": 5, "b": 1})))
    root = write_images(tmp_path / "torn", {"a": 5, "b": 5})
    (root / "b" / "torn.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"torn.png: is damaged or no image"):
        look_at(Source(root))
    (tmp_path / "data.txt").write_text("x", encoding="utf-8")
    with pytest.raises(
        UserError, match=r"expected a folder of class folders with images, an .npz file \(X, y\) or a table: .csv"
    ):
        look_at(Source(tmp_path / "data.txt"))
    with pytest.raises(UserError, match="--label kind: is for tables"):
        look_at(Source(root, "kind"))


def test_arrays_are_seen_as_images_or_a_table(tmp_path: Path) -> None:
    path, labels = tmp_path / "arrays.npz", np.arange(60) % 3
    np.savez(path, X=RNG.normal(size=(60, 1, 8, 8)), y=labels)
    assert look_at(Source(path)).images
    np.savez(path, X=RNG.normal(size=(60, 5)), y=labels)
    assert not look_at(Source(path)).images
    np.savez(path, X=np.where(np.arange(300).reshape(60, 5) == 36, np.nan, 1.0), y=labels)
    with pytest.raises(UserError, match="no finite numbers, first in sample 7"):
        look_at(Source(path))
    np.savez(path, X=RNG.normal(size=(60, 5)), y=np.append(labels[:-1], 9))
    with pytest.raises(UserError, match="class '9' has 1 sample"):
        look_at(Source(path))


def test_more_time_never_plans_for_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rebnn_search.auto import _networks, _plan

    measured = {32: 0.1, 64: 0.15, 128: 0.3}

    def measure(look: Any, network: Any, opened: Any) -> Any:
        return _networks.Rung(network, opened.image_size, measured[network["width"]], 0.1)

    monkeypatch.setattr(_plan, "measure", measure)
    monkeypatch.setattr(_plan, "_slots", lambda: 2)
    monkeypatch.setattr(_plan.time, "monotonic", lambda: 0.0)
    look = look_at(Source(write_table(tmp_path / "flowers.csv"), "kind"))
    opened = _networks.open_smallest(look)
    with pytest.raises(UserError, match=r"smallest network and no search .*: --time (\d+)s would do") as error:
        plan_for(look, opened, 4.0, 3, 0.0)
    enough = float(re.findall(r"--time (\d+)s would do", str(error.value))[0])
    times = (enough, 12.0, 20.0, 45.0, 60.0, 180.0, 1800.0)
    plans = [plan_for(look, opened, seconds, 3, 0.0) for seconds in times]
    assert [plan.searched for plan in plans] == sorted(plan.searched for plan in plans)
    assert not plans[0].searched
    assert plans[-2].searched
    for searched in (False, True):  # beside a search there is less time for each network
        widths = [plan.recipe["network"]["width"] for plan in plans if plan.searched is searched]
        assert widths == sorted(widths)
    assert plans[-1].recipe["network"]["width"] == 128
    for plan, seconds in zip(plans, times, strict=True):
        assert 10 * plan.searched * plan.trial_seconds / 2 + plan.seeds * plan.refit_seconds < seconds
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(plan.recipe), encoding="utf-8")
        (tmp_path / "space.yaml").write_text(yaml.safe_dump(plan.search("recipe.yaml")), encoding="utf-8")
        assert load_search(tmp_path / "space.yaml").spec.trials == 200


def test_colours_are_looked_for_in_every_class(tmp_path: Path) -> None:
    """Not among the first pictures alone, which may be drawings."""
    write_images(tmp_path, {"photos": 4}, colour=True)
    (tmp_path / "drawings").mkdir()
    for index in range(200):
        grey = RNG.integers(0, 255, (12, 12, 1), dtype=np.uint8).repeat(3, 2)
        Image.fromarray(grey).save(tmp_path / "drawings" / f"{index}.png")
    assert look_at(Source(tmp_path)).data["grayscale"] is False


def test_a_few_coloured_pictures_of_a_rare_class_make_all_of_them_coloured(tmp_path: Path) -> None:
    write_images(tmp_path, {"a": 150, "b": 150})
    write_images(tmp_path, {"c": 4}, colour=True)
    assert look_at(Source(tmp_path)).data["grayscale"] is False


def test_copies_on_both_sides_of_a_split_are_told_of(tmp_path: Path) -> None:
    path = write_table(tmp_path / "flowers.csv")
    data = look_at(Source(path, "kind")).open()
    assert repeated_lines(data, images=False) == []
    header, *rows = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([header, *rows, *rows, *rows]), encoding="utf-8")
    data = look_at(Source(path, "kind")).open()
    train = {tuple(row) for split in ("train", "validation") for row in data.samples(split).images.flatten(1).tolist()}  # type: ignore[attr-defined]
    count = sum(tuple(row) in train for row in data.samples("test").images.flatten(1).tolist())  # type: ignore[attr-defined]
    (line,) = repeated_lines(data, images=False)
    assert count > 60 and line.startswith(
        f"{count} of 120 test rows equal rows that are trained on, in all columns to learn from: "
    )


def test_copies_are_told_of_whatever_type_and_zero_each_split_has() -> None:
    X = np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0], [6.0, 7.0]] * 10)
    data = from_arrays(X, np.arange(40) % 2, test=(np.where(X[:4] == 0, -0.0, X[:4]).astype(np.float32), np.arange(4) % 2))
    assert data.samples("test").images.dtype != data.samples("train").images.dtype  # type: ignore[attr-defined]
    assert repeated(data) == 4


@pytest.mark.parametrize("given", [("val", "test"), ("test",), ()])
def test_a_class_of_an_npz_needs_samples_for_the_splits_that_are_drawn(tmp_path: Path, given: Sequence[str]) -> None:
    X, y = np.random.default_rng(0).normal(size=(41, 3)), np.array([0, 1] * 20 + [2])
    own = {name: value for split in given for name, value in ((f"X_{split}", X[:4]), (f"y_{split}", y[:4]))}
    np.savez(tmp_path / "a.npz", X=X, y=y, **own)
    if len(given) == 2:
        assert look_at(Source(tmp_path / "a.npz")).open().num_classes == 3
    else:
        uses = "to train on and to validate on" if given else "to train on and to validate on and to test"
        with pytest.raises(UserError, match=f"class '2' has 1 sample: each needs at least {3 - len(given)}, {uses}; add some"):
            look_at(Source(tmp_path / "a.npz"))


def test_numbers_to_estimate_are_no_classes_of_an_npz(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    np.savez(tmp_path / "a.npz", X=draw.normal(size=(200, 3)), y=draw.normal(size=200))
    with pytest.raises(UserError, match="y holds 200 different numbers: estimating a number is regression"):
        look_at(Source(tmp_path / "a.npz"))
