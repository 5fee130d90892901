"""Pictures are decoded once for all trainings."""

import multiprocessing
import os
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.forked import CONTEXT, begun

from rebnn_search.config import UserError
from rebnn_search.training.data import decoded_cache
from rebnn_search.training.data.decoded_cache import FEWEST, decode_once
from rebnn_search.training.data.images import Decoded, decode


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder, generator = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    files = [folder / f"{index}.png" for index in range(FEWEST)]
    for file in files:
        Image.fromarray(generator.integers(0, 256, (9, 11, 3), dtype=np.uint8)).save(file)
    return files


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("REBNN_SEARCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "decoded"


def entries(cache: Path) -> list[Path]:
    return [path for path in cache.iterdir() if path.is_dir()]


def same(a: Decoded, b: Decoded) -> bool:
    pairs = [(getattr(a, name), getattr(b, name)) for name in decoded_cache.NAMES]
    return all((x is None and y is None) or torch.equal(x, y) for x, y in pairs)


def spoil(file: Path) -> None:
    """Change what is in a file, and neither its size nor its time."""
    before = file.stat()
    file.write_bytes(b"x" * before.st_size)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("whole", [None, 16])
def test_the_second_time_nothing_is_decoded(pictures: list[Path], cache: Path, tmp_path: Path, whole: int | None) -> None:
    files = copied(pictures, tmp_path)
    first = decode_once(files, 8, False, 0.9, whole=whole)
    assert same(first, decode(files, 8, False, 0.9, whole=whole))
    for file in files:
        spoil(file)
    assert same(decode_once(files, 8, False, 0.9, whole=whole), first)
    assert len(entries(cache)) == 1


def copied(files: list[Path], folder: Path) -> list[Path]:
    there = folder / "pictures"
    there.mkdir()
    found = [there / file.name for file in files]
    for file, copy in zip(files, found, strict=True):
        copy.write_bytes(file.read_bytes())
    return found


def test_another_picture_size_or_colour_is_decoded_anew(pictures: list[Path], cache: Path, tmp_path: Path) -> None:
    files = copied(pictures, tmp_path)
    decode_once(files, 8, False)
    Image.new("RGB", (9, 9), (255, 0, 0)).save(files[0])
    assert decode_once(files, 8, False).images[0, 0].float().mean() == 255
    assert decode_once(files, 6, False).images.shape[-1] == 6
    assert decode_once(files, 8, True).images.shape[1] == 1
    assert len(entries(cache)) == 4


def test_damaged_pictures_are_left_out_or_refused_as_without_it(pictures: list[Path], cache: Path, tmp_path: Path) -> None:
    files = copied(pictures, tmp_path)
    for index in (3, 70):
        spoil(files[index])
    for _ in range(2):
        damaged: list[Path] = []
        found = decode_once(files, 8, False, damaged=damaged)
        assert damaged == [files[3], files[70]]
        assert len(found.images) == len(files) - 2
        with pytest.raises(UserError, match=r"3\.png: is damaged or no image"):
            decode_once(files, 8, False)
    assert len(entries(cache)) == 1


def decode_with_others(files: list[Path], barrier: Barrier, sums: "multiprocessing.Queue[int]") -> None:
    barrier.wait(120)
    sums.put(int(decode_once(files, 8, False).images.sum()))


def test_processes_at_the_same_time_make_one_entry(pictures: list[Path], cache: Path) -> None:
    barrier, sums = CONTEXT.Barrier(3), CONTEXT.Queue()
    running = [begun(decode_with_others, pictures, barrier, sums) for _ in range(3)]
    assert [sums.get(timeout=120) for _ in running] == [int(decode(pictures, 8, False).images.sum())] * 3
    for process in running:
        process.join()
    assert [path.suffix for path in sorted(cache.iterdir())] == ["", ".lock"]


def test_a_damaged_entry_is_made_anew(pictures: list[Path], cache: Path) -> None:
    first = decode_once(pictures, 8, False)
    (entry,) = entries(cache)
    content = (entry / "images.npy").read_bytes()
    for damage in (content[:-100], b"", b"\0" * 300):
        (entry / "images.npy").unlink()  # what is mapped stays as it is
        (entry / "images.npy").write_bytes(damage)
        assert same(decode_once(pictures, 8, False), first)
        assert (entry / "images.npy").read_bytes() == content


def test_an_entry_is_on_the_disk_before_it_has_its_name(
    pictures: list[Path], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[int | str] = []
    sync, rename = os.fsync, Path.rename

    def synced(descriptor: int) -> None:
        events.append(os.fstat(descriptor).st_ino)
        sync(descriptor)

    def renamed(path: Path, target: Path) -> Path:
        events.append("renamed")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "rename", renamed)
    decode_once(pictures, 8, False)
    (entry,) = entries(cache)
    before, after = events[: events.index("renamed")], events[events.index("renamed") + 1 :]
    assert {path.stat().st_ino for path in (entry, *entry.iterdir())} <= set(before)
    assert cache.stat().st_ino in after


def test_room_is_made_of_no_entry_that_another_process_writes(
    pictures: list[Path], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoded_cache, "LIMIT", 2**20)
    for name in ("fresh", "left"):
        (cache / f".making-{name}").mkdir(parents=True)
        (cache / f".making-{name}" / "images.npy").write_bytes(b"\0" * 2**20)
    os.utime(cache / ".making-left", (1, 1))
    decode_once(pictures, 8, False)
    assert {path.name for path in entries(cache) if path.name.startswith(".")} == {".making-fresh"}


def test_what_was_not_used_for_longest_gives_way(pictures: list[Path], cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decode_once(pictures, 8, False)
    (first,) = entries(cache)
    os.utime(first, (1, 1))
    decode_once(pictures, 9, False)
    taken = sum(file.stat().st_size for entry in entries(cache) for file in entry.iterdir())
    monkeypatch.setattr(decoded_cache, "LIMIT", taken)
    second = next(entry for entry in entries(cache) if entry != first)
    decode_once(pictures, 7, False)
    assert first not in entries(cache)
    assert second in entries(cache)
    monkeypatch.setattr(decoded_cache, "LIMIT", 10)
    assert decode_once(pictures, 5, False).images.shape[-1] == 5  # and is not kept


def test_without_a_place_for_it_pictures_are_decoded(
    pictures: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    for place in (str(tmp_path / "file"), "off", "/proc/nowhere"):
        monkeypatch.setenv("REBNN_SEARCH_CACHE", place)
        assert len(decode_once(pictures, 8, False).images) == FEWEST
