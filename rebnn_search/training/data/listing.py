"""The image files of a folder of class folders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from rebnn_search.config import UserError

EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})


@dataclass(frozen=True)
class Listing:
    """The files of one split and their labels."""

    files: list[Path]
    labels: Tensor


def class_names(folder: Path) -> list[str]:
    """The class folders of a folder, sorted.

    Raises:
        UserError: If there are fewer than two.
    """
    names = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if len(names) < 2:
        found = f"only {names[0]!r}" if names else "none"
        raise UserError(f"data.root: {folder}: needs at least two class folders, has {found}")
    return names


def list_images(folder: Path, classes: Sequence[str]) -> Listing:
    """The images below the class folders, in the order of class and path.

    Raises:
        UserError: If a class has none.
    """
    files: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        found = [path for path in visible_files(folder / name) if path.suffix.lower() in EXTENSIONS]
        if not found:
            raise UserError(f"data.root: {folder / name}: holds no images ({', '.join(sorted(EXTENSIONS))})")
        files += found
        labels += [label] * len(found)
    return Listing(files, torch.tensor(labels, dtype=torch.int64))


def visible_files(folder: Path) -> list[Path]:
    """The files below a folder, sorted, but for those whose name, or a folder's of theirs, begins with a dot."""
    return sorted(
        path
        for path in folder.rglob("*")
        if not any(name.startswith(".") for name in path.relative_to(folder).parts) and path.is_file()
    )


def pick(listing: Listing, indices: Tensor) -> Listing:
    """Some of a listing."""
    return Listing([listing.files[index] for index in indices.tolist()], listing.labels[indices])
