"""The search files and recipes that come with the program, found by name from any directory.

They lie at the top level of a checkout, and inside the package where it was installed from a wheel: side by side in both, so that
a search file's ``recipe: ../trials/NAME.yaml`` holds in both.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path

from rebnn_search.base.errors import UserError

SPACES, RECIPES = "search_spaces", "trials"
"""The folders' names."""
KINDS = {SPACES: "search file", RECIPES: "recipe"}
PACKAGE = Path(__file__).parents[1]
NAME = re.compile(r"[A-Za-z0-9_-]{1,60}")


def packaged_files(folder: str) -> Mapping[str, Path]:
    """The files that come with the program, by name.

    Args:
        folder: `SPACES` or `RECIPES`.
    """
    place = PACKAGE / folder
    if not place.is_dir() and (PACKAGE.parent / "pyproject.toml").is_file():
        place = PACKAGE.parent / folder
    return {file.stem: file for file in sorted(place.glob("*.yaml"))}


def find_file(given: str | Path, folder: str) -> Path:
    """The file that a user means: that of the path, or else the one of the name that comes with the program.

    Args:
        given: A path, or a name as ``gamma``.
        folder: `SPACES` or `RECIPES`.

    Raises:
        UserError: If a name is neither; the message lists those there are.
    """
    path, name = Path(given), str(given)
    if not NAME.fullmatch(name) or os.path.lexists(path):  # a path, right or wrong, is what it says
        return path
    return packaged_file(name, folder, "no such file, and ")


def packaged_file(name: str, folder: str, otherwise: str = "") -> Path:
    """The file of a name that comes with the program.

    Args:
        name: As ``gamma``.
        folder: `SPACES` or `RECIPES`.
        otherwise: What else there is not, for the message.

    Raises:
        UserError: If there is none; the message lists those there are.
    """
    known = packaged_files(folder)
    if name in known:
        return known[name]
    near = get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise UserError(f"{name}: {otherwise}no {KINDS[folder]} of this name comes with the program: {', '.join(known)}{hint}")


def anchor(path: Path) -> Path:
    """The folder that relative paths of data in a recipe are relative to: the file's, or, of one in an installed package, where it
    would be in a project in the working directory.
    """
    absolute = path.absolute()
    return Path.cwd() / RECIPES if absolute.is_relative_to(PACKAGE) else absolute.parent


def first_comment(path: Path) -> str:
    """The comment at a file's beginning, in one line."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# "))
    return " ".join(lines)
