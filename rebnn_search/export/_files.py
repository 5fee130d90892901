"""Reads and writes whole files."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from rebnn_search.base.files import write_atomically
from rebnn_search.config import UserError


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
