"""Whole files: under a file's name there is the old content or the new and nothing between, also after a power cut."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from rebnn_search.base.errors import UserError

PARTIAL = ".partial"
"""How the name of a file that is still being written ends; what bears it was left by a crash."""


UNKNOWN = (errno.EINVAL, errno.ENOTSUP, errno.EROFS)
"""What syncing a directory fails with where the file system does not do it."""


def write_atomically(path: Path, *parts: str | bytes | memoryview) -> None:
    """Replace a file's content by the parts, one after another; the folder is made if it is not there.

    Raises:
        OSError: If it cannot be written; what was there before is then there still.
    """
    make_directory(path.parent)
    temporary = path.with_name(f".{path.name}.{os.getpid()}{PARTIAL}")
    try:
        with temporary.open("wb") as file:
            for part in parts:
                file.write(part.encode() if isinstance(part, str) else part)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_directory(path.parent)


def make_directory(path: Path) -> None:
    """Make a directory, and those above it, if they are not there; also after a power cut they are then.

    Raises:
        OSError: If it cannot be made.
    """
    missing = []
    for place in (path, *path.parents):
        if place.is_dir():
            break
        missing.append(place)
    path.mkdir(parents=True, exist_ok=True)
    for place in reversed(missing):
        sync_directory(place.parent)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that under its name there is the old or the new and nothing between, also after a power cut.

    Raises:
        UserError: If it cannot be written; the message names it.
    """
    if path.is_dir():
        raise UserError(f"{path}: is a folder; name a file in it")
    if not path.parent.is_dir():  # a slip of the finger is no wish for a folder
        raise UserError(f"{path}: cannot be written: {os.strerror(errno.ENOENT)}")
    try:
        write_atomically(path, content)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}") from None


def read_whole(path: Path) -> bytes:
    """Read a file.

    Raises:
        UserError: If it cannot be read; the message names it.
    """
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise UserError(f"{path}: is no regular file")  # a pipe or a device may have no end
        return path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except MemoryError:
        raise UserError(f"{path}: cannot be read: is larger than the memory") from None
    except ValueError as error:  # a NUL in a name
        raise UserError(f"{path}: cannot be read: {error}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None


def sync_directory(path: Path) -> None:
    """Put on the disk what names a directory has: a new file's is not there because the file is.

    Nothing happens where there is no way to do it: to a directory that this user may not read, or on a file system that cannot.

    Raises:
        OSError: If the disk does not take it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except PermissionError:
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in UNKNOWN:
            raise
    finally:
        os.close(descriptor)
