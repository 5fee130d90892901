"""Pictures decoded once for all trainings of a user: a bounded folder of arrays that every process maps into its memory.

``REBNN_SEARCH_CACHE`` names the folder (``off`` for none); else it is ``rebnn_search`` in ``XDG_CACHE_HOME`` or ``~/.cache``. What
is in it can be removed at any time, while nothing trains.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from rebnn_search.base.files import sync_directory
from rebnn_search.training.data.images import Decoded, decode

FORMAT = 3
"""Of the arrays; one more where decoding changes."""
FEWEST = 500
"""Files; fewer are decoded as fast as they are found."""
LIMIT = 20 * 1024**3
"""Bytes in all; what was not used for longest goes first."""
DISK_SHARE = 0.5
"""Most of a disk's free space that one entry may take."""
MAKING = ".making-"
"""How the folder of an entry begins that is being written."""
MAKING_SECONDS = 3600
"""Without a new file: a crash left such a folder."""
NAMES = ("images", "kept", "whole", "sizes")


def fingerprint(files: Sequence[Path]) -> str:
    """What changes when a file does: names, sizes and times."""
    digest = hashlib.sha256()
    for file in files:
        try:
            found = file.stat()
        except OSError:
            digest.update(f"{file}\0gone\0".encode(errors="surrogateescape"))
        else:
            digest.update(f"{file}\0{found.st_size}\0{found.st_mtime_ns}\0".encode(errors="surrogateescape"))
    return digest.hexdigest()


def decode_once(
    files: Sequence[Path],
    size: int,
    grayscale: bool,
    crop_pct: float = 1.0,
    *,
    whole: int | None = None,
    damaged: list[Path] | None = None,
) -> Decoded:
    """`rebnn_search.training.data.images.decode`, from the cache where the same files were decoded so before.

    Processes that want the same at the same time wait for the one that decodes. Where the cache cannot be used, the files are decoded
    as without it. Arguments and errors as of `decode`.
    """
    folder = _folder()
    if folder is None or len(files) < FEWEST:
        return decode(files, size, grayscale, crop_pct, whole=whole, damaged=damaged)
    from PIL import __version__ as pillow

    what = f"{FORMAT} {pillow} {size} {grayscale} {crop_pct} {whole} {fingerprint([file.absolute() for file in files])}"
    entry = folder / hashlib.sha256(what.encode()).hexdigest()[:32]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(entry.with_suffix(".lock"))
        lock.acquire()
    except OSError:  # no place of ours, or a file system without locks
        return decode(files, size, grayscale, crop_pct, whole=whole, damaged=damaged)
    try:
        found = _read(entry)
        if found is None or (found.whole is None) != (not whole):  # the rest of one of which another process is making room
            found = decode(files, size, grayscale, crop_pct, whole=whole, damaged=None if damaged is None else [])
            with suppress(OSError):
                _write(entry, found)
    finally:
        lock.release()
    kept = set(found.kept.tolist())
    gone = [file for index, file in enumerate(files) if index not in kept]
    if gone and damaged is None:
        decode(gone[:1], size, grayscale, crop_pct)  # raises what is wrong with it
    if damaged is not None:
        damaged.extend(gone)
    return found


def _folder() -> Path | None:
    given = os.environ.get("REBNN_SEARCH_CACHE")
    if given is not None:
        return None if given in ("", "off") else Path(given) / "decoded"
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(base) if base else Path.home() / ".cache") / "rebnn_search" / "decoded"
    except RuntimeError:  # a user without a home
        return None


def _read(entry: Path) -> Decoded | None:
    """What is in an entry, mapped and not read; None where there is none, or it is damaged and now gone."""
    if not entry.is_dir():
        return None
    try:
        found = {name: _mapped(entry / f"{name}.npy") for name in NAMES if (entry / f"{name}.npy").exists()}
        os.utime(entry)
        return Decoded(**found)
    except (OSError, ValueError, TypeError, EOFError):
        shutil.rmtree(entry, ignore_errors=True)
        return None


def _mapped(file: Path) -> Tensor:
    try:
        array = np.load(file, mmap_mode="c")  # private to this process where it should be written to
    except ValueError:
        array = np.load(file)  # an empty one cannot be mapped
        if array.size:
            raise
    return torch.from_numpy(np.asarray(array))


def _write(entry: Path, found: Decoded) -> None:
    """Write an entry whole or not at all, also after a power cut, and make room for it."""
    arrays = {name: getattr(found, name) for name in NAMES if getattr(found, name) is not None}
    size = sum(array.numel() * array.element_size() for array in arrays.values())
    if size > LIMIT or size > DISK_SHARE * shutil.disk_usage(entry.parent).free:
        return
    _make_room(entry.parent, LIMIT - size)
    making = Path(mkdtemp(prefix=MAKING, dir=entry.parent))
    try:
        for name, array in arrays.items():
            with (making / f"{name}.npy").open("wb") as file:
                np.save(file, array.numpy())
                file.flush()
                os.fsync(file.fileno())
        sync_directory(making)
        making.rename(entry)
        sync_directory(entry.parent)
    except BaseException:
        shutil.rmtree(making, ignore_errors=True)
        raise


def _make_room(folder: Path, room: int) -> None:
    """Remove what was not used for longest until what is left fits; a process that has it mapped keeps it until it ends."""
    entries = []
    for path in folder.iterdir():
        # Another process renames what it has made, and removes what is old.
        with suppress(FileNotFoundError, NotADirectoryError):
            entries.append((path.stat().st_mtime, sum(file.stat().st_size for file in path.iterdir()), path))
    for used, size, entry in sorted(entries, reverse=True):
        if entry.name.startswith(MAKING) and time.time() - used < MAKING_SECONDS:
            continue  # another process is at it
        if size > room:
            shutil.rmtree(entry, ignore_errors=True)
        else:
            room -= size
