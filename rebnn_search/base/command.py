"""How to call this program again, for the commands that it prints."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from rebnn_search.base.layout import STORAGE


def python_command() -> list[str]:
    """The words that call this interpreter from the working directory."""
    for name in ("python", "python3"):
        found = shutil.which(name)
        if found and Path(found).absolute() == Path(sys.executable).absolute():
            return [name]
    path = Path(sys.executable)
    return [str(path.relative_to(Path.cwd()))] if path.is_relative_to(Path.cwd()) else [str(path)]


def allow_words(names: Iterable[str]) -> list[str]:
    """The options that allow these functions, for a command that is printed."""
    return [word for name in names for word in ("--allow", name)]


def storage_words(storage: str) -> list[str]:
    """The option by which a command finds searches that are kept elsewhere than where it looks by itself."""
    return [] if storage == STORAGE else ["--storage", storage]
