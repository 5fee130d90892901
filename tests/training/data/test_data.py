import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from rebnn_search.config import Notice, UserError
from rebnn_search.training.data import Arrays, Cifar10, Data, Digits, ImageFolder, ImageNet, from_arrays
from rebnn_search.training.data import images as decoding
from rebnn_search.training.data.base import SPLITS
from rebnn_search.training.data.images import DamagedImageError, open_picture
from rebnn_search.training.data.resident import ResidentData, Samples

RNG = np.random.default_rng(0)


def write_images(folder: Path, counts: dict[str, int], size: tuple[int, int] = (9, 8)) -> None:
    for index, (name, count) in enumerate(counts.items()):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = RNG.integers(0, 80, (*size, 3), dtype=np.uint8) + np.uint8(60 * index)
            Image.fromarray(pixels).save(folder / name / f"{number:03d}.png")


def everything(data: Data, split: Any, **options: Any) -> tuple[torch.Tensor, torch.Tensor]:
    batches = list(data.batches(split, batch_size=7, **options))
    return torch.cat([x for x, _ in batches]), torch.cat([y for _, y in batches])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("images")
    write_images(root / "train", {"cat": 20, "dog": 30})
    write_images(root / "test", {"cat": 4, "dog": 4})
    (root / "train" / "cat" / "notes.txt").write_text("no image", encoding="utf-8")
    return root


@pytest.fixture(scope="module", params=["digits", "arrays", "resident folder", "streaming folder"])
def data(request: pytest.FixtureRequest, folder: Path) -> Data:
    if request.param == "digits":
        return Digits().open()
    if request.param == "arrays":
        return from_arrays(RNG.normal(size=(60, 2, 4, 4)), RNG.integers(0, 3, 60))
    return ImageFolder(root=str(folder), image_size=8, resident=request.param == "resident folder", workers=0).open()


def test_digits_are_split_in_proportion_and_apart() -> None:
    data = Digits(validation=0.25, test=0.15, split_seed=3).open()
    assert [data.size(split) for split in SPLITS] == [1078, 449, 270]
    assert sum(data.size(split) for split in SPLITS) == 1797
    seen = [tuple(map(tuple, everything(data, split)[0].flatten(1).round(decimals=3).tolist())) for split in SPLITS]
    assert len(set().union(*map(set, seen))) >= 1797 - 5  # a few digits are drawn alike
    for split in SPLITS:
        share = torch.bincount(everything(data, split)[1], minlength=10) / data.size(split)
        assert (share - 0.1).abs().max() < 0.01
    assert torch.equal(
        everything(data, "test")[0], everything(Digits(validation=0.25, test=0.15, split_seed=3).open(), "test")[0]
    )
    assert not torch.equal(everything(data, "test")[1], everything(Digits(validation=0.25, test=0.15).open(), "test")[1])


def test_training_pixels_are_normalised() -> None:
    images, _ = everything(Digits().open(), "train")
    assert float(images.mean()) == pytest.approx(0, abs=1e-5)
    assert float(images.std()) == pytest.approx(1, abs=1e-3)


def test_order_is_a_function_of_seed_and_epoch(data: Data) -> None:
    orders = [everything(data, "train", shuffle=True, seed=s, epoch=e)[0] for s, e in ((0, 0), (0, 0), (0, 1), (1, 0))]
    assert torch.equal(orders[0], orders[1])
    assert not torch.equal(orders[0], orders[2])
    assert not torch.equal(orders[0], orders[3])
    assert torch.equal(orders[0].flatten(1).sum(1).sort().values, orders[2].flatten(1).sum(1).sort().values)


def test_an_epoch_begun_in_the_middle_goes_on_as_it_would_have(data: Data) -> None:
    options = {"batch_size": 8, "shuffle": True, "augment": True, "seed": 1, "epoch": 2, "drop_last": True}
    whole = list(data.batches("train", **options))  # type: ignore[arg-type]
    rest = list(data.batches("train", start=2, **options))  # type: ignore[arg-type]
    assert len(rest) == len(whole) - 2
    for (x, y), (u, v) in zip(whole[2:], rest, strict=True):
        assert torch.equal(x, u)
        assert torch.equal(y, v)


@pytest.mark.parametrize("size", [2, 3])
def test_the_ranks_parts_are_the_batch(data: Data, size: int) -> None:
    options = {"batch_size": 8, "shuffle": True, "augment": True, "seed": 1}
    whole = list(data.batches("train", **options))  # type: ignore[arg-type]
    parts = [list(data.batches("train", rank=rank, world_size=size, **options)) for rank in range(size)]  # type: ignore[arg-type]
    for index, (x, y) in enumerate(whole):
        torch.testing.assert_close(torch.cat([part[index][0] for part in parts]), x)
        assert torch.equal(torch.cat([part[index][1] for part in parts]), y)


def test_streaming_gives_what_memory_gives(folder: Path) -> None:
    kept = ImageFolder(root=str(folder), image_size=8, resident=True).open()
    for workers, splits in ((0, SPLITS), (2, SPLITS[:1])):  # each of the processes takes seconds to start
        read = ImageFolder(root=str(folder), image_size=8, resident=False, workers=workers).open()
        for split in splits:
            a, b = everything(kept, split), everything(read, split)
            assert torch.equal(a[1], b[1])
            # They differ in what they normalise by: of the data here, of ImageNet there.
            mean, std = read.mean, read.std
            pixels = a[0] * kept.std + kept.mean
            torch.testing.assert_close((pixels - mean) / std, b[0], rtol=1e-3, atol=1e-3)


def test_folders_say_what_is_what(folder: Path) -> None:
    data = ImageFolder(root=str(folder), image_size=8, validation=0.2).open()
    assert data.classes == ["cat", "dog"]
    assert (data.channels, data.image_size) == (3, 8)
    assert [data.size(split) for split in SPLITS] == [40, 10, 8]
    gray = ImageFolder(root=str(folder), image_size=6, grayscale=True).open()
    assert (gray.channels, gray.image_size) == (1, 6)


def test_a_folder_of_classes_alone_is_split(tmp_path: Path) -> None:
    write_images(tmp_path, {"a": 20, "b": 20, "c": 20})
    data = ImageFolder(root=str(tmp_path), image_size=8, validation=0.2, test=0.1).open()
    assert [data.size(split) for split in SPLITS] == [42, 12, 6]


@pytest.mark.parametrize("names", [("training", "VAL", "Testing"), ("Train", "valid", "test")])
def test_folders_of_splits_have_many_names(tmp_path: Path, names: tuple[str, str, str]) -> None:
    for name, count in zip(names, (8, 3, 5), strict=True):
        write_images(tmp_path / name, {"a": count, "b": count})
    data = ImageFolder(root=str(tmp_path), image_size=8).open()
    assert [data.size(split) for split in SPLITS] == [16, 6, 10]


def test_folders_of_splits_are_no_classes(tmp_path: Path) -> None:
    for name in ("Test", "val"):
        write_images(tmp_path / name, {"a": 3, "b": 3})
    with pytest.raises(
        UserError, match="its folders Test, val are called as splits are, and none holds class folders to train on"
    ):
        ImageFolder(root=str(tmp_path)).open()
    write_images(tmp_path / "train", {"a": 3, "b": 3})
    (tmp_path / "validation").mkdir()
    with pytest.raises(UserError, match="val and validation are both called as the validation split is"):
        ImageFolder(root=str(tmp_path)).open()


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    write_images(tmp_path, {"plane": 20, "train": 20})
    (tmp_path / "train" / ".thumbs").mkdir()
    assert ImageFolder(root=str(tmp_path), image_size=8).open().classes == ["plane", "train"]


def test_imagenet_s_val_is_the_test_split(tmp_path: Path) -> None:
    write_images(tmp_path / "train", {"n01": 10, "n02": 10})
    write_images(tmp_path / "val", {"n01": 3, "n02": 3})
    data = ImageNet(root=str(tmp_path), image_size=16, validation=0.2, workers=0).open()
    assert [data.size(split) for split in SPLITS] == [16, 4, 6]
    batches = data.batches("train", batch_size=4, shuffle=True, augment=True)
    assert next(batches)[0].shape == (4, 3, 16, 16)
    with pytest.raises(UserError, match=r"ImageNet needs train/ and val/"):
        ImageNet(root=str(tmp_path / "train")).open()


def broken(folder: Path) -> None:
    (folder / "train" / "dog" / "001.png").write_bytes((folder / "train" / "dog" / "001.png").read_bytes()[:60])


def one_class(folder: Path) -> None:
    for file in (folder / "train" / "dog").iterdir():
        file.unlink()
    (folder / "train" / "dog").rmdir()


def misnamed(folder: Path) -> None:
    (folder / "train" / "dog").rename(folder / "train" / os.fsdecode(b"caf\xe9"))


def empty_class(folder: Path) -> None:
    for file in (folder / "train" / "dog").iterdir():
        file.unlink()


def tiny_class(folder: Path) -> None:
    for file in sorted((folder / "train" / "dog").iterdir())[1:]:
        file.unlink()


def other_classes(folder: Path) -> None:
    write_images(folder / "test", {"cat": 1, "wolf": 1})


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (broken, r"dog/001\.png: is damaged or no image"),
        (one_class, "needs at least two class folders, has only 'cat'"),
        (misnamed, r"the name of the class folder 'caf\\udce9' is not UTF-8: rename it"),
        (empty_class, "dog: holds no images"),
        (tiny_class, "class 'dog' has 1 sample: too few to split off"),
        (other_classes, "has other classes than .*: dog, wolf"),
    ],
)
@pytest.mark.parametrize("resident", [True, False])
def test_a_spoilt_folder_is_named(tmp_path: Path, spoil: Any, message: str, resident: bool) -> None:
    write_images(tmp_path / "train", {"cat": 6, "dog": 6})
    spoil(tmp_path)
    with pytest.raises(UserError, match=message):
        everything(
            ImageFolder(root=str(tmp_path), image_size=8, resident=resident, workers=0, validation=0.2, test=0.2).open(),
            "train",
        )


def test_a_missing_folder_and_dataset_say_where_they_looked(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.root: .*nowhere: no such folder"):
        ImageFolder(root=str(tmp_path / "nowhere")).open()
    with pytest.raises(UserError, match=rf"no sound CIFAR10 in {tmp_path}/cifar-10-batches-py: .*set data\.download to true"):
        Cifar10(root=str(tmp_path)).open()


def test_an_npz_file(tmp_path: Path) -> None:
    X, y = RNG.integers(0, 255, (50, 8, 8), dtype=np.uint8), np.array(["no", "yes"] * 25)
    np.savez(tmp_path / "a.npz", X=X, y=y)
    data = Arrays(path=str(tmp_path / "a.npz")).open()
    assert (data.classes, data.channels, data.image_size) == (["no", "yes"], 1, 8)
    assert [data.size(split) for split in SPLITS] == [30, 10, 10]
    np.savez(tmp_path / "b.npz", X=X, y=y, X_test=X[:4], y_test=y[:4])
    assert [Arrays(path=str(tmp_path / "b.npz")).open().size(split) for split in SPLITS] == [40, 10, 4]
    np.savez(tmp_path / "c.npz", X=X, y=y, X_val=X[:6], y_val=y[:6], X_test=X[:4], y_test=y[:4])
    assert [Arrays(path=str(tmp_path / "c.npz")).open().size(split) for split in SPLITS] == [50, 6, 4]
    np.savez(tmp_path / "d.npz", X=X, y=y, X_test=X[:4], Y_test=y[:4])
    with pytest.raises(UserError, match="has 'X_test' without 'y_test'; it holds X, y, X_test, Y_test"):
        Arrays(path=str(tmp_path / "d.npz")).open()


def test_labels_of_two_types_are_the_same_classes() -> None:
    X, y = RNG.normal(size=(60, 3)), np.arange(60) % 3
    data = from_arrays(X, y, test=(X[:6], y[:6].astype(float)))
    assert data.classes == ["0", "1", "2"] and torch.equal(data.labels("test"), torch.from_numpy(y[:6]))


def test_labels_in_bytes_are_text() -> None:
    X, y = RNG.normal(size=(60, 3)), np.array([b"cat", "größer".encode(), b"dog"])[np.arange(60) % 3]
    data = from_arrays(X, y, test=(X[:3], np.array(["cat", "dog", "größer"])))
    assert data.classes == ["cat", "dog", "größer"] and data.labels("test").tolist() == [0, 1, 2]
    latin = np.array([name.encode("latin-1") for name in ("Mär", "Mör", "other")])[np.arange(60) % 3]
    assert from_arrays(X, latin).num_classes == 3, "what is no UTF-8 stays apart"


def test_a_table_is_images_of_one_pixel_standardised() -> None:
    X = RNG.normal(size=(100, 5)) * [1, 10, 100, 0.1, 0] + [0, 5, 0, 0, 3]
    data = from_arrays(X, RNG.integers(0, 2, 100))
    assert (data.channels, data.image_size) == (5, 1)
    images, _ = everything(data, "train")
    torch.testing.assert_close(images.mean((0, 2, 3)), torch.zeros(5), rtol=0, atol=1e-5)
    torch.testing.assert_close(images.std((0, 2, 3), correction=0), torch.tensor([1.0, 1, 1, 1, 0]), rtol=0, atol=1e-4)


GOOD_X, GOOD_Y = np.zeros((20, 3, 4, 4), dtype=np.float32), np.array([0, 1] * 10)


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (np.zeros((20, 4, 4, 3)), GOOD_Y, r"channels come second"),
        (np.zeros((20, 3, 4, 5)), GOOD_Y, "must be square"),
        (np.zeros(20), GOOD_Y, r"must be \(n, c, h, w\)"),
        (np.array([["a"] * 3] * 20), GOOD_Y, "must hold numbers"),
        (np.where(np.arange(20)[:, None] == 7, np.nan, np.zeros((20, 3))), GOOD_Y, "no finite numbers, first in sample 7"),
        (GOOD_X, np.zeros(20), "all samples are of one class"),
        (GOOD_X, np.zeros(19), r"y must have shape \(20,\)"),
        (GOOD_X, np.array([0.0, np.nan] * 10), "labels that are no finite numbers"),
        (GOOD_X, np.array([0] * 19 + [1]), "class '1' has 1 sample: too few to split off test"),
    ],
)
def test_unfit_arrays_are_told(X: Any, y: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        from_arrays(X, y)


@pytest.mark.parametrize("options", [{"validation": 0.0}, {"test": 1.0}, {"validation": 0.6, "test": 0.5}])
def test_shares_must_leave_something(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Digits(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a zip", b"\x93NUMPY"])
def test_a_file_that_is_no_npz(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(UserError, match=r"x\.npz: is no \.npz"):
        Arrays(path=str(tmp_path / "x.npz")).open()
    with pytest.raises(UserError, match="no such file"):
        Arrays(path=str(tmp_path / "y.npz")).open()


def test_a_rare_class_of_sound_pictures_is_not_taken_for_damaged(tmp_path: Path) -> None:
    write_images(tmp_path, {"cat": 40, "dog": 40, "owl": 3})
    for resident in (True, False):
        data = ImageFolder(root=str(tmp_path), image_size=8, resident=resident, workers=0).open()
        assert all(torch.bincount(data.labels(split), minlength=3).min() >= 1 for split in SPLITS)


@pytest.mark.parametrize("suffix", ["png", "tiff", "pgm"])
def test_sixteen_bits_a_pixel_become_eight(tmp_path: Path, suffix: str) -> None:
    """And are not cut off at 255, as Pillow has it."""
    pixels = np.array([[0, 300], [30000, 65535]], dtype=np.uint16)
    Image.fromarray(pixels).save(tmp_path / f"deep.{suffix}")
    for grayscale in (True, False):
        found = np.asarray(open_picture(tmp_path / f"deep.{suffix}", grayscale))
        assert (found.reshape(2, 2, -1) == (pixels >> 8)[:, :, None]).all()


def test_twelve_bits_in_sixteen_are_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "_told", [])
    for name, most in (("whole", 65535), ("black", 0), ("more", 4096), ("dark", 4095), ("again", 255)):
        Image.fromarray(np.array([[0, most]], dtype=np.uint16)).save(tmp_path / f"{name}.png")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for name in ("whole", "black", "more", "dark", "again"):
            open_picture(tmp_path / f"{name}.png", grayscale=True)
    (notice,) = said
    assert notice.category is Notice
    assert "dark.png: has 16 bits a pixel and no value above 4,095" in str(notice.message)


def test_pictures_whose_range_nothing_tells_are_refused(tmp_path: Path) -> None:
    for name, dtype in (("whole", np.int32), ("real", np.float32)):
        Image.fromarray(np.array([[0, 40000], [1, 2]], dtype=dtype)).save(tmp_path / f"{name}.tiff")
        with pytest.raises(UserError, match=rf"{name}.tiff: has 32 bits a pixel") as caught:
            open_picture(tmp_path / f"{name}.tiff", grayscale=True)
        assert not isinstance(caught.value, DamagedImageError)  # which skip_damaged would leave out


CORNERS = np.array([[10, 60, 110], [160, 210, 250]], dtype=np.uint8)


def turned_by(orientation: int, shown: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """What a file holds of a picture that is shown so, by the EXIF standard: where its row 0 and its column 0 are seen."""
    top, left = {
        1: ("top", "left"), 2: ("top", "right"), 3: ("bottom", "right"), 4: ("bottom", "left"),
        5: ("left", "top"), 6: ("right", "top"), 7: ("right", "bottom"), 8: ("left", "bottom"),
    }[orientation]  # fmt: skip
    stored = shown if {top} & {"top", "bottom"} else shown.T
    return stored[:: -1 if top in ("bottom", "right") else 1, :: -1 if left in ("right", "bottom") else 1]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_pictures_are_upright(tmp_path: Path, orientation: int, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(turned_by(orientation, CORNERS)))
    # Of TIFF that is not compressed Pillow itself mixes the rows up.
    stored.save(tmp_path / f"x.{suffix}", exif=exif, **({"compression": "tiff_deflate"} if suffix == "tiff" else {}))
    assert (np.asarray(open_picture(tmp_path / f"x.{suffix}", grayscale=True)) == CORNERS).all()


def test_spoilt_exif_is_no_damage(tmp_path: Path) -> None:
    for spoilt in (b"Exif\0\0II*\0", b"nothing of the kind", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"):
        Image.fromarray(CORNERS).save(tmp_path / "x.png", exif=spoilt)
        assert (np.asarray(open_picture(tmp_path / "x.png", grayscale=True)) == CORNERS).all()


@pytest.mark.parametrize("grayscale", [True, False])
def test_what_is_transparent_is_white(tmp_path: Path, grayscale: bool) -> None:
    pixels = np.zeros((1, 3, 4), dtype=np.uint8)
    pixels[0, :, :3] = 40
    pixels[0, :, 3] = (255, 0, 51)  # opaque, not there, a fifth there
    colours = Image.fromarray(pixels)
    colours.save(tmp_path / "rgba.png")
    Image.fromarray(pixels[:, :, [0, 3]], "LA").save(tmp_path / "la.png")
    palette = Image.fromarray(np.array([[0, 1, 2]], dtype=np.uint8), "P")
    palette.putpalette([40] * 9)
    palette.save(tmp_path / "p.png", transparency=bytes([255, 0, 51]))
    for name in ("rgba", "la", "p"):
        found = np.asarray(open_picture(tmp_path / f"{name}.png", grayscale)).reshape(3, -1)
        assert np.abs(found.astype(int) - np.array([[40], [255], [212]])).max() <= 1, name
        assert (found[:2] == [[40], [255]]).all(), name
    key = Image.fromarray(CORNERS)
    key.save(tmp_path / "key.png", transparency=60)
    assert np.asarray(open_picture(tmp_path / "key.png", grayscale=True)).tolist() == [[10, 255, 110], [160, 210, 250]]


def test_images_of_one_channel_must_be_square_too() -> None:
    with pytest.raises(UserError, match="has images of 40×100: they must be square"):
        from_arrays(RNG.normal(size=(20, 40, 100)), np.arange(20) % 2)


def test_a_sample_s_weight_goes_with_it_on_every_pass() -> None:
    parts: dict[Any, Samples] = {
        "train": Samples(torch.arange(10.0).view(-1, 1, 1, 1), torch.arange(10) % 2, torch.arange(10.0)),
        "validation": Samples(torch.zeros(1, 1, 1, 1), torch.zeros(1, dtype=torch.int64)),
    }
    data = ResidentData(parts, ["a", "b"], torch.zeros(1), torch.ones(1), repeat=3)
    batches = list(data.weighted_batches("train", batch_size=7, shuffle=True))
    images, weights = (torch.cat([batch[place] for batch in batches]) for place in (0, 2))  # type: ignore[misc]
    assert len(weights) == 30 and torch.equal(images.flatten(), weights)
