"""Arrays: an .npz file, or what is in memory already."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rebnn_search.config import Component, UserError
from rebnn_search.training.data.augmentations import AUGMENTATIONS, Augmentation, AugmentationOption
from rebnn_search.training.data.base import DATASETS, Data, Dataset, Split
from rebnn_search.training.data.normalisation import channel_statistics
from rebnn_search.training.data.resident import ResidentData, Samples
from rebnn_search.training.data.splits import GIVEN, check_fractions, drawn_splits

Array = np.ndarray[Any, Any]
WHOLE = re.compile(r"-?\d+\.0")
"""A whole number as a floating-point one is written."""


@DATASETS.register("arrays")
class Arrays(Dataset):
    """An ``.npz`` file with ``X`` and ``y``; optionally ``X_test`` and ``y_test``, ``X_val`` and ``y_val`` (or ``valid``, or
    ``validation``): of a split that it has not a share of ``X`` is taken.

    Args:
        path: The file.
        validation: Share of the samples for validation.
        test: Share of the samples for the test, where the file has none.
        split_seed: Of the stratified splits.
        repeat: Passes over the training samples that make an epoch: few samples' epochs are too short to report on each.
        augment: Augmentation of training batches.

    Raises:
        ValueError: If a share is out of range or repeat below 1.
    """

    def __init__(
        self,
        *,
        path: str,
        validation: float = 0.2,
        test: float = 0.2,
        split_seed: int = 0,
        repeat: int = 1,
        augment: AugmentationOption = Component("name", "none", {}, AUGMENTATIONS["none"]),  # noqa: B008 - frozen
    ) -> None:
        check_fractions(validation=validation, test=test)
        if repeat < 1:
            raise ValueError(f"repeat must be at least 1, not {repeat}")
        self.repeat = repeat
        self.path, self.validation, self.test = Path(path), validation, test
        self.split_seed, self.augment = split_seed, augment

    def check_place(self) -> None:
        """See `Dataset.check_place`."""
        if not self.path.is_file():
            raise UserError(f"data.path: {self.path}: no such file")

    def open(self) -> Data:
        """Read, check and split."""
        try:
            file = np.load(self.path, allow_pickle=False)
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise UserError(f"data.path: {self.path}: is no .npz but a single array; save X and y with numpy.savez")
            with file:
                arrays = {name: file[name] for name in file.files}
        except FileNotFoundError:
            raise UserError(f"data.path: {self.path}: no such file") from None
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise UserError(f"data.path: {self.path}: is no .npz of plain arrays: {error}") from None
        for name in ("X", "y"):
            if name not in arrays:
                raise UserError(f"data.path: {self.path}: has no array {name!r}; it holds {', '.join(arrays) or 'none'}")
        given = {split: self._given(arrays, names) for split, names in GIVEN.items()}
        return from_arrays(
            arrays["X"], arrays["y"], test=given["test"] or self.test, validation=given["validation"] or self.validation,
            split_seed=self.split_seed, source=str(self.path), augment=self.augment, repeat=self.repeat,
        )  # fmt: skip

    def _given(self, arrays: Mapping[str, Array], names: Sequence[str]) -> tuple[Array, Array] | None:
        """A split's own samples and labels, if the file has any."""
        for name in names:
            pair = [f"X_{name}", f"y_{name}"]
            there = [one for one in pair if one in arrays]
            if len(there) == 1:
                (missing,) = set(pair) - set(there)
                raise UserError(f"data.path: {self.path}: has {there[0]!r} without {missing!r}; it holds {', '.join(arrays)}")
            if there:
                return arrays[pair[0]], arrays[pair[1]]
        return None


def from_arrays(
    features: Array | Tensor,
    labels: Array | Tensor,
    *,
    validation: float | tuple[Array | Tensor, Array | Tensor] = 0.2,
    test: float | tuple[Array | Tensor, Array | Tensor] = 0.2,
    split_seed: int = 0,
    source: str = "the arrays",
    augment: Component[Augmentation] | None = None,
    repeat: int = 1,
) -> Data:
    """Open arrays as data.

    Args:
        features: (n, channels, height, width), (n, height, width) or (n, features), uint8 or real; a table's row becomes an image of
            ``features`` channels and one pixel.
        labels: (n,) of any kind that can be told apart; their sorted distinct values are the classes.
        validation: Share of the samples, or the samples themselves.
        test: Likewise.
        split_seed: Of the stratified splits.
        source: Where they come from, for messages.
        augment: Augmentation of training batches.
        repeat: Passes over the training samples that make an epoch.

    Raises:
        UserError: If shapes disagree, a value is no finite number, there is only one class, or a class is too small to split.
    """
    images = _images(features, source, "X")
    classes, targets = classes_of(labels, len(images), source)
    asked: dict[Split, Any] = {"test": test, "validation": validation}
    given = {name: share for name, share in asked.items() if isinstance(share, tuple)}
    shares = {name: share for name, share in asked.items() if not isinstance(share, tuple)}
    drawn = drawn_splits(targets, shares, split_seed, classes, source)
    parts = {name: Samples(images[rows], targets[rows]) for name, rows in drawn.items()}
    for name, share in given.items():
        parts[name] = _given(share, classes, images, source, name)
    mean, std = channel_statistics(parts["train"].images)
    check_statistics(mean, std, source)
    augmentation = None if augment is None else augment.build()
    return ResidentData(parts, classes, mean, std, augmentation, repeat)


def check_statistics(mean: Tensor, std: Tensor, source: str) -> None:
    """Check that values can be standardised.

    Raises:
        UserError: If their squares overflow.
    """
    bad = ~(mean.isfinite() & std.isfinite())
    if bad.any():
        raise UserError(
            f"{source}: has values too large to standardise: their squares overflow, first in feature {int(bad.nonzero()[0])}"
        )


def _images(features: Array | Tensor, source: str, name: str) -> Tensor:
    array = features.numpy() if isinstance(features, Tensor) else np.asarray(features)
    if array.dtype == object or array.dtype.kind not in "buif":
        raise UserError(f"{source}: {name} must hold numbers, not {array.dtype}")
    if array.ndim not in (2, 3, 4) or 0 in array.shape:
        raise UserError(f"{source}: {name} must be (n, c, h, w), (n, h, w) or (n, features) and not empty, not {array.shape}")
    if array.ndim == 4 and array.shape[3] in (1, 3) and array.shape[1] not in (1, 3):
        raise UserError(
            f"{source}: {name} has shape {array.shape}: channels come second, (n, channels, height, width); transpose it"
        )
    if array.ndim == 3:
        array = array[:, None]
    if array.ndim == 4 and array.shape[2] != array.shape[3]:
        raise UserError(f"{source}: {name} has images of {array.shape[2]}×{array.shape[3]}: they must be square")
    if array.ndim == 2:
        array = array[:, :, None, None]
    if array.dtype != np.uint8:
        # float32 where it holds every value of the type exactly, else float64: nothing is lost before it is standardised.
        array = array.astype(np.float32 if np.can_cast(array.dtype, np.float32) else np.float64, copy=False)
        bad = ~np.isfinite(array).reshape(len(array), -1).all(1)
        if bad.any():
            raise UserError(
                f"{source}: {name} has values that are no finite numbers, first in sample {int(np.flatnonzero(bad)[0])}"
            )
    return torch.from_numpy(np.ascontiguousarray(array))


def classes_of(labels: Array | Tensor, count: int, source: str) -> tuple[list[str], Tensor]:
    """The sorted distinct labels' names, and the label (count,) int64 of each sample.

    Raises:
        UserError: If there are not so many labels, one is no finite number, or there is only one class.
    """
    array = _decoded(labels.numpy() if isinstance(labels, Tensor) else np.asarray(labels))
    if array.shape != (count,):
        raise UserError(f"{source}: y must have shape ({count},), one label for each sample, not {array.shape}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise UserError(f"{source}: y has labels that are no finite numbers")
    names, targets = np.unique(array, return_inverse=True)
    if len(names) < 2:
        raise UserError(f"{source}: all samples are of one class, {names[0]!r}: there is nothing to tell apart")
    return [str(name) for name in names], torch.from_numpy(targets.astype(np.int64))


def _decoded(labels: Array) -> Array:
    """Names as text, which numpy may keep as bytes; those that are no UTF-8 stay apart from each other."""
    return np.char.decode(labels, "utf-8", "backslashreplace") if labels.dtype.kind == "S" else labels


def _given(share: tuple[Any, Any], classes: list[str], like: Tensor, source: str, name: str) -> Samples:
    images = _images(share[0], source, f"X of {name}")
    if images.shape[1:] != like.shape[1:] or (images.dtype == torch.uint8) != (like.dtype == torch.uint8):
        raise UserError(
            f"{source}: {name} has samples of {tuple(images.shape[1:])} {images.dtype}, "
            f"training of {tuple(like.shape[1:])} {like.dtype}"
        )
    labels = _decoded(np.asarray(share[1]))
    if labels.shape != (len(images),):
        raise UserError(f"{source}: {name} has {len(images)} samples and labels of shape {labels.shape}")
    numbers = {_plain(label): index for index, label in enumerate(classes)}
    unknown = sorted({str(label) for label in labels if _plain(str(label)) not in numbers})
    if unknown:
        raise UserError(f"{source}: {name} has labels that training has not: {', '.join(unknown[:5])}")
    return Samples(images, torch.tensor([numbers[_plain(str(label))] for label in labels], dtype=torch.int64))


def _plain(label: str) -> str:
    """A label's name, a whole number's as an integer's: one array may hold 1.0 where another holds 1."""
    return label.removesuffix(".0") if WHOLE.fullmatch(label) else label
