"""Whole files: under a file's name there is the old content or the new and nothing between, also after a power cut."""

from __future__ import annotations

import os
from pathlib import Path

PARTIAL = ".partial"
"""How the name of a file that is still being written ends; what bears it was left by a crash."""


def write_atomically(path: Path, *parts: str | bytes | memoryview) -> None:
    """Replace a file's content by the parts, one after another; the folder is made if it is not there.

    Raises:
        OSError: If it cannot be written; what was there before is then there still.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
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
    _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    # The new name is on the disk once its directory is.
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
