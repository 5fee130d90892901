"""Whole pictures in training, their centres in evaluation, damaged and hidden files: what is done with folders of pictures."""

import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from rebnn_search.config import Component, Notice, UserError
from rebnn_search.training.data import AUGMENTATIONS, Data, ImageFolder, ImageNet
from rebnn_search.training.data._streaming import StreamingData
from rebnn_search.training.data.base import SPLITS
from rebnn_search.training.data.images import as_tensor, centre

CROPPING: Component[Any] = Component("name", "imagenet", {"lighting": 0.0, "flip": False}, AUGMENTATIONS["imagenet"])
AS_IT_IS: Component[Any] = Component("name", "none", {}, AUGMENTATIONS["none"])
WIDE = 40
"""Of the pictures here, whose height is 20: red at both ends, which no centre square holds, a ramp in green."""


def write(folder: Path, name: str, count: int, width: int = WIDE) -> None:
    (folder / name).mkdir(parents=True)
    for index in range(count):
        pixels = np.zeros((20, width, 3), dtype=np.uint8)
        pixels[:, :8, 0] = pixels[:, -8:, 0] = 255
        pixels[:, :, 1] = np.linspace(0, 200, width)[None] + index
        pixels[:, :, 2] = np.linspace(0, 200, 20)[:, None] + (25 if name == "b" else 0)
        Image.fromarray(pixels).save(folder / name / f"{index:03d}.png")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pictures")
    for split, count in (("train", 12), ("val", 4), ("test", 4)):
        for name in "ab":
            write(root / split, name, count)
    return root


def opened(folder: Path, resident: bool, **options: Any) -> Data:
    return ImageFolder(
        root=str(folder), **{"image_size": 10, "resident": resident, "workers": 0, "augment": CROPPING, **options}
    ).open()


def pixels(data: Data, split: Any, **options: Any) -> torch.Tensor:
    batches = [x * data.std + data.mean for x, _ in data.batches(split, **{"batch_size": 5, **options})]
    return torch.cat(batches)


@pytest.mark.parametrize("resident", [True, False])
def test_training_crops_are_of_the_whole_picture_and_evaluation_s_of_its_centre(folder: Path, resident: bool) -> None:
    data = opened(folder, resident)
    epochs = [pixels(data, "train", augment=True, epoch=epoch) for epoch in range(4)]
    assert torch.cat(epochs)[:, 0].max() > 200
    for split in SPLITS:
        assert pixels(data, split)[:, 0].max() < 1e-3
    assert not any(torch.equal(a, b) for a, b in zip(epochs[0], epochs[1], strict=True))


@pytest.mark.parametrize("resident", [True, False])
@pytest.mark.parametrize(("options", "crop_pct"), [({}, 7 / 8), ({"crop_pct": 0.6}, 0.6), ({"augment": AS_IT_IS}, 1.0)])
def test_evaluation_keeps_the_share_it_should(folder: Path, resident: bool, options: dict[str, Any], crop_pct: float) -> None:
    data = opened(folder, resident, **options)
    assert data.crop_pct == data.joined().crop_pct == crop_pct
    files = [folder / "test" / name / f"{index:03d}.png" for name in "ab" for index in range(4)]
    expected = torch.stack([as_tensor(centre(Image.open(file), 10, crop_pct)) for file in files]).float()
    torch.testing.assert_close(pixels(data, "test"), expected, rtol=0, atol=1e-3)


def test_imagenet_is_resized_to_256_and_cropped_to_224(folder: Path) -> None:
    data = ImageNet(root=str(folder), workers=0, validation=0.2).open()
    assert isinstance(data, StreamingData)
    assert (data.crop_pct, data.image_size) == (0.875, 224)
    picture = Image.open(folder / "val" / "a" / "000.png").resize((512, 256), Image.Resampling.BILINEAR)
    expected = as_tensor(picture.crop((144, 16, 368, 240))).float()
    torch.testing.assert_close(pixels(data, "test")[0], expected, rtol=0, atol=1e-3)


def test_resident_crops_are_those_of_the_files_but_for_their_sharpness(folder: Path) -> None:
    kept, read = opened(folder, True), opened(folder, False)
    options = {"shuffle": True, "augment": True, "seed": 3, "epoch": 2}
    a, b = pixels(kept, "train", **options), pixels(read, "train", **options)
    # Green and blue are ramps, which every interpolation gives alike but at the ends; blue is steeper here than a pixel's rounding.
    difference = (a - b)[:, 1:, 2:-2, 2:-2].abs()
    assert difference.mean() < 2
    other = pixels(read, "train", **{**options, "epoch": 3})
    assert (other - b)[:, 1:, 2:-2, 2:-2].abs().mean() > 10


@pytest.mark.parametrize("resident", [True, False])
def test_an_epoch_goes_on_in_the_middle_over_ranks_and_workers_alike(folder: Path, resident: bool) -> None:
    data = opened(folder, resident)
    options: dict[str, Any] = {"batch_size": 8, "shuffle": True, "augment": True, "seed": 1, "epoch": 1}
    whole = [x for x, _ in data.batches("train", **options)]
    for x, y in zip(whole[1:], data.batches("train", start=1, **options), strict=True):
        assert torch.equal(x, y[0])
    parts = [[x for x, _ in data.batches("train", rank=rank, world_size=3, **options)] for rank in range(3)]
    for index, x in enumerate(whole):
        torch.testing.assert_close(torch.cat([part[index] for part in parts]), x)
    if not resident:
        more = opened(folder, False, workers=1)
        assert all(torch.equal(x, y) for x, (y, _) in zip(whole, more.batches("train", **options), strict=True))


@pytest.mark.parametrize("workers", [0, 1])
def test_reading_leaves_torch_s_randomness_alone_and_passes_may_be_left_or_cross(folder: Path, workers: int) -> None:
    """A training that goes on in mid-epoch makes one pass more than the one that was not interrupted."""
    data = opened(folder, False, workers=workers)
    options: dict[str, Any] = {"batch_size": 8, "shuffle": True, "augment": True, "seed": 1}
    before = torch.get_rng_state()
    whole = [x for x, _ in data.batches("train", **options)]
    left = data.batches("train", **options)
    next(left)
    beside = data.batches("train", **options)
    for x, (y, _), (z, _) in zip(whole[1:], left, data.batches("train", start=1, **options), strict=True):
        assert torch.equal(x, y) and torch.equal(x, z)
    assert torch.equal(next(beside)[0], whole[0])
    del beside
    assert all(torch.equal(x, y) for x, (y, _) in zip(whole, data.batches("train", **options), strict=True))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_reader_leaves_the_group_whatever_came_before_without_what_macos_lacks() -> None:
    code = (
        "import os, signal, sys\n"
        "from rebnn_search.base.signals import STOPS\n"
        "from rebnn_search.training.data._streaming import _leave_group\n"
        "if hasattr(signal, 'sigtimedwait'):\n"
        "    del signal.sigtimedwait\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)\n"
        "for number in STOPS:\n"
        "    os.kill(os.getpid(), number)\n"
        "_leave_group(0)\n"
        "assert os.getpgid(0) == os.getpid() and not signal.sigpending()\n"
        "assert not signal.pthread_sigmask(signal.SIG_BLOCK, ()) & set(STOPS)\n"
        "print('alive')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == ("alive\n", "")


@pytest.mark.parametrize("resident", [True, False])
def test_joined_data_are_cropped_too(folder: Path, resident: bool) -> None:
    data = opened(folder, resident).joined()
    assert data.size("train") == 32
    crops = pixels(data, "train", augment=True)
    assert len(crops) == 32
    assert crops[24:, 0].max() > 200


def test_what_is_kept_in_memory_counts_the_whole_pictures(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    each = 3 * 10**2
    need = each * 40 + 4 * each * 32
    for limit, resident in ((need, True), (need - 1, False)):
        monkeypatch.setattr("rebnn_search.training.data._folder.RESIDENT_BYTES", limit)
        data = opened(folder, "auto")  # type: ignore[arg-type]
        assert isinstance(data, StreamingData) is not resident


@pytest.mark.parametrize("value", [0, 1.5, -0.5])
def test_a_share_out_of_range_is_told(value: float) -> None:
    with pytest.raises(ValueError, match="crop_pct must be within"):
        ImageFolder(root="x", crop_pct=value)


@pytest.fixture
def spoilt(tmp_path: Path) -> Path:
    for name in "ab":
        write(tmp_path, name, 20, 20)
    return tmp_path


def spoil(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_bytes((folder / name).read_bytes()[:60])


def green(data: Data) -> dict[str, list[int]]:
    """Which pictures each split has, by their class and index, in order."""
    return {
        split: [
            1000 * int(label) + round(float(x[1].min()))
            for x, label in zip(pixels(data, split), data.labels(split), strict=True)  # type: ignore[arg-type]
        ]
        for split in SPLITS
    }


@pytest.mark.parametrize("resident", [True, False])
def test_damaged_pictures_are_left_out_and_named_and_move_no_other(spoilt: Path, resident: bool) -> None:
    options: dict[str, Any] = {"augment": AS_IT_IS, "image_size": 20, "validation": 0.2, "test": 0.2}
    before = green(opened(spoilt, resident, **options))
    spoil(spoilt, "a/003.png", "a/007.png", "b/001.png", "b/019.png")
    with pytest.raises(UserError, match=r"damaged or no image: .*; mend it, .*skip_damaged: true in the recipe's data"):
        green(opened(spoilt, resident, **options))
    named = r"left out 4 of 40 pictures, damaged or no images: a/003\.png, a/007\.png, b/001\.png, \.\.\.$"
    with pytest.warns(Notice, match=named):
        data = opened(spoilt, resident, skip_damaged=True, **options)
    after = green(data)
    gone = {3, 7, 1001, 1019}
    assert after == {split: [number for number in numbers if number not in gone] for split, numbers in before.items()}
    assert sum(data.size(split) for split in SPLITS) == 36
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it was said once in this process
        opened(spoilt, resident, skip_damaged=True, **options)


def test_a_picture_mended_later_is_noticed(spoilt: Path) -> None:
    whole = (spoilt / "a" / "003.png").read_bytes()
    spoil(spoilt, "a/003.png")
    with pytest.warns(Notice):
        assert sum(opened(spoilt, False, skip_damaged=True).size(split) for split in SPLITS) == 39
    (spoilt / "a" / "003.png").write_bytes(whole)
    assert sum(opened(spoilt, False, skip_damaged=True).size(split) for split in SPLITS) == 40


@pytest.mark.parametrize("resident", [True, False])
def test_a_class_without_a_sound_picture_is_told(spoilt: Path, resident: bool) -> None:
    spoil(spoilt, *(f"b/{index:03d}.png" for index in range(20)))
    with pytest.warns(Notice), pytest.raises(UserError, match=r"every picture of class 'b' in the .* split is damaged"):
        opened(spoilt, resident, skip_damaged=True)


@pytest.mark.parametrize("resident", [True, False])
def test_a_picture_that_is_gone_or_unreadable_is_no_damaged_one(spoilt: Path, resident: bool) -> None:
    (spoilt / "a" / "003.png").unlink()
    (spoilt / "a" / "003.png").symlink_to("/proc/self/mem")
    with pytest.raises(UserError, match=r"a/003\.png: cannot be read: "):
        opened(spoilt, resident, skip_damaged=True)


def test_names_that_begin_with_a_dot_are_passed_over(spoilt: Path) -> None:
    expected = green(opened(spoilt, True, image_size=20))
    (spoilt / "a" / "._000.png").write_bytes(b"a resource fork, no picture")
    (spoilt / "b" / ".thumbnails").mkdir()
    shutil.copy(spoilt / "b" / "000.png", spoilt / "b" / ".thumbnails" / "000.png")
    (spoilt / ".cache").mkdir()
    assert green(opened(spoilt, True, image_size=20)) == expected
    hidden = spoilt / ".hidden"
    shutil.copytree(spoilt, hidden, ignore=shutil.ignore_patterns(".hidden"))
    assert green(opened(hidden, True, image_size=20)) == expected, "a dot above the folder that was named hides nothing"
