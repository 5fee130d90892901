"""Arrays and image files as images in the units of a model's training data."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rebnn_search.config import Notice, UserError
from rebnn_search.export._info import ModelInfo
from rebnn_search.training.data.images import decode
from rebnn_search.training.data.tables import Table, is_table, read_table
from rebnn_search.training.data.tables.cells import numbers

ARRAYS = (".npy", ".npz")
"""Endings of files of arrays."""


def holds_many(file: Path) -> bool:
    """Whether a file is named as one that holds many images, or rows."""
    return file.suffix.lower() in ARRAYS or is_table(file)


def images_of(array: np.ndarray[Any, Any] | Tensor, info: ModelInfo, source: str) -> Tensor:
    """Check images and shape them (N, C, H, W).

    Raises:
        UserError: If they are not of the shape that the network was trained on, or hold what is no finite number; the message
            names the source.
    """
    found = array.numpy(force=True) if isinstance(array, Tensor) else np.asarray(array)
    if found.dtype.kind not in "buif":
        raise UserError(f"{source}: must hold numbers, not {found.dtype}{_by_column(info)}")
    size, shape = info.image_size, found.shape
    if found.ndim == 3 and info.channels == 1:
        found = found[:, None]
    elif found.ndim == 2 and size == 1:
        found = found[:, :, None, None]
    if found.shape[1:] != (info.channels, size, size):
        wanted = f"(n, {info.channels}, {size}, {size})"
        wanted += f" or (n, {info.channels})" if size == 1 else f" or (n, {size}, {size})" if info.channels == 1 else ""
        raise UserError(f"{source}: has shape {shape}, the model reads {wanted}{_by_column(info)}")
    # Bytes are exact in float32; of real numbers nothing may be lost before they are standardised.
    images = torch.from_numpy(np.ascontiguousarray(found, dtype=np.float32 if info.white is not None else np.float64))
    if info.white == 255 and found.dtype.kind == "f" and images.numel() and 0 < float(images.max()) <= 1:
        told = "has no value above 1, and the model was trained on bytes, 0 to 255: are these pictures divided by 255?"
        warnings.warn(f"{source}: {told}", Notice, stacklevel=3)
    bad = ~images.isfinite().flatten(1).all(1)
    if bad.any():
        raise UserError(f"{source}: has values that are no finite numbers, first in sample {int(bad.nonzero()[0, 0])}")
    return images


def _by_column(info: ModelInfo) -> str:
    return "; a table's rows it reads as a DataFrame" if knows_columns(info) else ""


def read_pictures(files: Sequence[Path], info: ModelInfo, damaged: list[Path] | None = None) -> Tensor:
    """Decode image files to (N, C, H, W): grey or colour as the network has it, scaled and cropped as for its validation.

    Files that cannot be decoded go to ``damaged``, where that is given, and are left out.

    Raises:
        UserError: If a file is no image, or the network was not trained on what an image file holds; the message names the file.
    """
    unfit = None
    if info.image_size == 1:
        unfit = f"rows of {info.channels} features"
    elif info.channels not in (1, 3):
        unfit = f"arrays of {info.channels} channels"
    elif info.white is None:
        unfit = "arrays of real numbers"
    if unfit is not None:
        raise UserError(f"{files[0]}: the model was trained on {unfit}, not on image files: give it a .npy or .npz file")
    images = decode(files, info.image_size, info.channels == 1, info.crop_pct, damaged=damaged).images
    white = info.white or 255.0
    return images if white == 255 else images.float() * (white / 255)


def read_array(file: Path, info: ModelInfo) -> Tensor:
    """Read the images of a ``.npy`` file, of a ``.npz`` file the array ``X`` or its only one, or the rows of a table.

    Raises:
        UserError: If it cannot be read, or as `images_of`.
    """
    if is_table(file):
        return images_of(_rows(file, info), info, str(file))
    try:
        found = np.load(file, allow_pickle=False)
        if isinstance(found, np.lib.npyio.NpzFile):
            with found as arrays:
                if "X" not in arrays.files and len(arrays.files) != 1:
                    raise UserError(f"{file}: has no array 'X'; it holds {', '.join(arrays.files) or 'none'}")
                found = arrays["X" if "X" in arrays.files else arrays.files[0]]
    except FileNotFoundError:
        raise UserError(f"{file}: no such file") from None
    except Exception as error:  # a damaged archive raises what zipfile, zlib and numpy please
        if isinstance(error, UserError):
            raise
        raise UserError(f"{file}: is damaged, or no file of plain arrays: {error}") from None
    return images_of(found, info, str(file))


def _rows(file: Path, info: ModelInfo) -> np.ndarray[Any, Any]:
    """The features of a table's file."""
    if not knows_columns(info):
        raise UserError(f"{file}: the model was not trained on a table, whose columns it would know")
    return features_of(read_table(file, str(file)), info, str(file))


def knows_columns(info: ModelInfo) -> bool:
    """Whether a model was trained on a table, whose columns it finds by name."""
    return info.table is not None or info.recipe.get("data", {}).get("name") == "csv"


def features_of(table: Table, info: ModelInfo, source: str) -> np.ndarray[Any, Any]:
    """The features of a table's columns that the network was trained on, found by name.

    Raises:
        UserError: If a column is missing, or holds what it cannot; the message names the source.
    """
    return (
        _plain_numbers(table, info.recipe.get("data", {}), source) if info.table is None else info.table.features(table, source)
    )


def _plain_numbers(table: Table, trained: Mapping[str, Any], source: str) -> np.ndarray[Any, Any]:
    """The columns of a model that earlier versions wrote: plain numbers all; without names, all but that of the labels."""
    features = trained.get("features") or [name for name in table.names if name != trained.get("label")]
    found = np.stack([numbers(table.column(name, source), ".") for name in features], axis=1)
    bad = np.argwhere(~np.isfinite(found))
    if len(bad):
        row, name = int(bad[0][0]), features[int(bad[0][1])]
        cell = table.column(name, source)[row]
        raise UserError(f"{source}:{table.lines[row]}: column {name!r}: {cell!r} is no finite number")
    return found


def grouped(files: Iterable[Path], most: int) -> Iterator[list[Path]]:
    """Split files into runs of at most so many image files, and array files each alone."""
    group: list[Path] = []
    for file in files:
        if group and (len(group) == most or holds_many(group[0]) or holds_many(file)):
            yield group
            group = []
        group.append(file)
    if group:
        yield group
