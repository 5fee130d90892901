"""Finds parts where they lie: the modules of a folder, and plug-ins that a user has installed."""

from __future__ import annotations

import importlib
import pkgutil
import re
from importlib.metadata import entry_points
from pathlib import Path

from rebnn_search.base.errors import UserError

GROUP = "rebnn_search.parts"
"""Entry points of this group name modules whose import registers parts."""

_loaded = False


def import_modules(package: str) -> None:
    """Import every module of a package, so that each registers what it defines: a new part is a new file and nothing else."""
    for module in sorted(info.name for info in pkgutil.iter_modules(importlib.import_module(package).__path__)):
        importlib.import_module(f"{package}.{module}")


def part_names(folder: Path) -> list[str]:
    """The names of the parts that lie in a folder, one a module ``_NAME.py``, without importing any: for a command's help."""
    return sorted(info.name[1:] for info in pkgutil.iter_modules([str(folder)]) if info.name.startswith("_"))


def registered_names(registry: str, place: Path) -> list[str]:
    """The names that the modules of a folder enter in a registry, read from their text, without importing any.

    Args:
        registry: The registry's variable, as ``GAMMA``.
        place: The folder.
    """
    decorator = re.compile(rf'^@{registry}\.register\("([^"]+)"\)', re.MULTILINE)
    return sorted(name for file in place.glob("*.py") for name in decorator.findall(file.read_text(encoding="utf-8")))


def load_plugins() -> None:
    """Import what installed packages declare under `GROUP`, once a process.

    Raises:
        UserError: If one cannot be imported; the message names it, and the package it comes from.
    """
    global _loaded
    if _loaded:
        return
    _loaded = True  # first: a plug-in's own imports may look parts up
    for point in entry_points(group=GROUP):
        try:
            point.load()
        except Exception as error:
            source = point.dist.name if point.dist is not None else "an installed package"
            raise UserError(
                f"plug-in {point.name} ({point.value}, of {source}): cannot be imported: {type(error).__name__}: {error}"
            ) from error
