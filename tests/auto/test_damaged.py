"""Looking at folders with damaged and hidden pictures."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rebnn_search.auto.__main__ import main as auto
from rebnn_search.auto._look import look_at
from rebnn_search.auto.source import Source
from rebnn_search.config import Notice, UserError
from rebnn_search.training.data.base import SPLITS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in "ab":
        (tmp_path / name).mkdir()
        for index in range(10):
            pixels = np.random.default_rng(index).integers(0, 256, (12, 12, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{index}.png")
    (tmp_path / "a" / "0.png").write_bytes((tmp_path / "a" / "0.png").read_bytes()[:200])  # found when it is decoded
    (tmp_path / "b" / "3.png").write_text("no picture", encoding="utf-8")  # found when its header is read
    return tmp_path


def test_damaged_pictures_are_an_error_that_says_what_to_do(folder: Path) -> None:
    for name in ("b/3.png", "a/0.png"):  # headers are read first
        with pytest.raises(UserError, match=rf"{name}: is damaged or no image: .*; mend it, .*--skip-damaged"):
            look_at(Source(folder)).open(image_size=8)
        (folder / name).unlink()
    look_at(Source(folder)).open(image_size=8)


def test_or_left_out_and_named(folder: Path) -> None:
    look = look_at(Source(folder, skip_damaged=True))
    assert look.data["skip_damaged"] is True
    assert look.example == str(folder / "a" / "1.png")
    with pytest.warns(Notice, match=r"left out 2 of 20 pictures, damaged or no images: a/0\.png, b/3\.png$"):
        data = look.open(image_size=8)
    assert sum(data.size(split) for split in SPLITS) == 18


def test_hidden_files_are_passed_over(folder: Path) -> None:
    (folder / "a" / "0.png").unlink()
    (folder / "b" / "3.png").unlink()
    (folder / "a" / "._1.png").write_bytes(b"a resource fork")
    (folder / "b" / ".trash").mkdir()
    (folder / "b" / ".trash" / "1.png").write_bytes(b"")
    look = look_at(Source(folder))
    assert look.notes[0].startswith("18 colour images")
    assert len(look.notes) == 1
    look.open(image_size=8)


def test_nothing_sound_is_told(folder: Path) -> None:
    for file in folder.rglob("*.png"):
        file.write_bytes(b"")
    with pytest.raises(UserError, match="none of its pictures can be decoded"):
        look_at(Source(folder, skip_damaged=True))


def test_only_folders_have_pictures_to_skip(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,label\n1,x\n", encoding="utf-8")
    with pytest.raises(UserError, match="--skip-damaged: is for folders of images"):
        auto([str(tmp_path / "t.csv"), "--skip-damaged", "--out", str(tmp_path / "out")])
