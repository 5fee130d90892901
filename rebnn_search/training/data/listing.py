"""The image files of a folder of class folders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from rebnn_search.config import UserError
from rebnn_search.training.data.base import Split

EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})


SPLIT_FOLDERS: Mapping[Split, Sequence[str]] = {
    "train": ("train", "training"), "validation": ("val", "valid", "validation", "dev"), "test": ("test", "testing"),
}  # fmt: skip
"""What the folder of a split may be called, in lower case."""


@dataclass(frozen=True)
class Listing:
    """The files of one split and their labels."""

    files: list[Path]
    labels: Tensor


def split_folders(root: Path) -> dict[Split, Path]:
    """The folders of a root that are splits: none where none holds class folders to train on.

    Raises:
        UserError: If there are two for one split, or some for splits and none to train on.
    """
    found: dict[Split, Path] = {}
    inner = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    for split, names in SPLIT_FOLDERS.items():
        fitting = [path for path in inner if path.name.lower() in names]
        if len(fitting) > 1:
            both = " and ".join(path.name for path in fitting)
            raise UserError(
                f"data.root: {root}: {both} are both called as the {split} split is: put them together, or one away"
            )
        found |= dict.fromkeys([split], *fitting) if fitting else {}
    if "train" in found and any(path.is_dir() and not path.name.startswith(".") for path in found["train"].iterdir()):
        return found
    if inner and all(path in found.values() for path in inner):
        raise UserError(
            f"data.root: {root}: its folders {', '.join(path.name for path in inner)} are called as splits are, and none holds class "
            "folders to train on: expected train/CLASS/..., or CLASS/..."
        )
    return {}


def class_names(folder: Path) -> list[str]:
    """The class folders of a folder, sorted.

    Raises:
        UserError: If there are fewer than two, or one's name is not UTF-8, as of archives from elsewhere: no model file holds it.
    """
    names = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if len(names) < 2:
        found = f"only {names[0]!r}" if names else "none"
        raise UserError(f"data.root: {folder}: needs at least two class folders, has {found}")
    try:
        "".join(names).encode()
    except UnicodeEncodeError as error:
        spoilt = next(name for name in names if error.object[error.start] in name)
        raise UserError(f"data.root: {folder}: the name of the class folder {spoilt!a} is not UTF-8: rename it") from None
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
