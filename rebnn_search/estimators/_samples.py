"""Samples as a training sees them: a weighted set, standardised.

Equal samples are merged into one with the sum of their weights, and the set is put in an order of its own: by their values, which
are the same in every type that can hold them. Training is then a function of the weighted set: a weight of 2 is a repetition, a
weight of 0 an absence, and neither the order of the rows nor their type matters, all to the bit.
"""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rebnn_search.config import UserError
from rebnn_search.training.data import ResidentData, Samples, Split
from rebnn_search.training.data.splits import stratified_groups

Array = np.ndarray[Any, Any]

CHANNEL_COUNTS = (1, 3, 4)
"""Last axes that look like channels: grey, RGB, RGBA."""

CHUNK = 4096
"""Samples computed with in float64 at a time."""


@dataclass(frozen=True)
class WeightedSet:
    """Different samples with their weights.

    Attributes:
        samples: (n, features) or (n, channels, height, width).
        labels: (n,) int64, from 0.
        weights: (n,) float64, above 0.
        groups: (n,) int64, from 0: samples that differ in their label alone have one number.
    """

    samples: Array
    labels: Array
    weights: Array
    groups: Array

    def __len__(self) -> int:
        return len(self.labels)

    def part(self, indices: Array) -> WeightedSet:
        """Some of them."""
        return WeightedSet(self.samples[indices], self.labels[indices], self.weights[indices], self.groups[indices])


def check_shape(shape: tuple[int, ...]) -> None:
    """Check that an array is a table or square images with their channels second.

    Raises:
        ValueError: If not.
    """
    if len(shape) not in (2, 4):
        raise ValueError(f"X must be (n, features) or (n, channels, height, width), not {shape}")
    if len(shape) == 4 and shape[2] != shape[3]:
        # Square images with many channels may well be 4 wide: only where the last two differ is the last axis in doubt.
        if shape[3] in CHANNEL_COUNTS and shape[1] not in CHANNEL_COUNTS:
            raise ValueError(
                f"X has shape {shape}: channels come second, (n, channels, height, width); "
                "transpose it with X.transpose(0, 3, 1, 2)"
            )
        raise ValueError(f"X has images of {shape[2]}×{shape[3]}: they must be square")


def merge(samples: Array, labels: Array, weights: Array) -> WeightedSet:
    """Merge equal samples with equal labels, add up their weights, drop those of weight 0 and sort the rest by their values."""
    kept = weights > 0
    samples, labels, weights = samples[kept], labels[kept].astype(np.int64), weights[kept]
    values = _ordered_bytes(samples.reshape(len(samples), math.prod(samples.shape[1:])))
    keys = np.concatenate([values, labels.astype(">i8")[:, None].view(np.uint8)], axis=1)
    _, first, number = np.unique(keys.view(f"V{keys.shape[1]}").ravel(), return_index=True, return_inverse=True)
    # Summed in an order of their own too: the sum of the same weights is then the same.
    order = np.lexsort((weights, number))
    total = np.bincount(number[order], weights=weights[order])
    different = (values[first[1:]] != values[first[:-1]]).any(1)
    return WeightedSet(samples[first], labels[first], total, np.concatenate([[0], np.cumsum(different)])[: len(first)])


def _ordered_bytes(rows: Array) -> Array:
    """Rows (n, m) as bytes (n, bytes) that compare as the rows' values do, first column first, whatever the type."""
    if rows.dtype.kind in "iu" and rows.dtype.itemsize > 4:
        rows = rows.astype(np.float64)  # as they are computed with: larger ones are equal where float64 has them so
    rows = np.ascontiguousarray(rows, dtype=rows.dtype.newbyteorder("="))
    if rows.dtype.kind in "bu":
        bits = rows
    else:
        if rows.dtype.kind == "f":
            rows = rows + rows.dtype.type(0)  # -0.0 is 0.0 in other bits
        bits = rows.view(f"u{rows.dtype.itemsize}")
        sign = bits.dtype.type(1 << (8 * rows.dtype.itemsize - 1))
        # A float's bits below the sign are in the order of its magnitude; of negative ones that is reversed.
        bits = np.where(bits & sign, ~bits, bits | sign) if rows.dtype.kind == "f" else bits ^ sign
    return np.ascontiguousarray(bits.astype(bits.dtype.newbyteorder(">"))).view(np.uint8)


@dataclass(frozen=True)
class Standardisation:
    """Mean and standard deviation of each feature, or of each channel of images, as float64 that broadcast over samples."""

    mean: Array
    std: Array

    def __call__(self, samples: Array) -> Array:
        """Return samples in units of the training data's deviation from its mean, float64."""
        standardised: Array = (_as_float64(samples) - self.mean) / self.std
        return standardised


def standardisation(given: WeightedSet) -> Standardisation:
    """Weighted mean and standard deviation of a set; what is constant but for rounding gets std 1.

    Raises:
        ValueError: If a square overflows.
    """
    inner = tuple(range(2, given.samples.ndim))
    share = (given.weights / given.weights.sum())[:, None]
    # Of each sample by itself first: images as bytes never become float64 all at once.
    means = np.concatenate([_as_float64(given.samples[part]).mean(inner) for part in _chunks(len(given))])
    with np.errstate(over="ignore", invalid="ignore"):
        variances = np.concatenate([_as_float64(given.samples[part]).var(inner) for part in _chunks(len(given))])
        mean = (share * means).sum(0)
        std = np.sqrt((share * (variances + (means - mean) ** 2)).sum(0))
    if not (np.isfinite(mean).all() and np.isfinite(std).all()):
        raise ValueError("X has values too large to standardise: their squares overflow")
    rounding = 10 * np.finfo(np.float64).eps * np.abs(mean) * np.sqrt(len(given))
    shape = (1, -1, *[1] * len(inner))
    return Standardisation(mean.reshape(shape), np.where(std > rounding, std, 1.0).reshape(shape))


def _as_float64(samples: Array) -> Array:
    # In one layout: sums over it add up in one order, whatever type and layout the samples came in.
    return np.ascontiguousarray(samples, dtype=np.float64)


def _chunks(count: int) -> list[slice]:
    return [slice(begin, begin + CHUNK) for begin in range(0, count, CHUNK)]


@dataclass(frozen=True)
class OpenedSamples:
    """A weighted set, split and standardised.

    Attributes:
        data: Its splits ``train`` and ``validation``.
        scaling: What standardised both: of the training part.
        held_out: Whether the validation samples are others than those that are trained on.
    """

    data: ResidentData
    scaling: Standardisation
    held_out: bool


def open_samples(given: WeightedSet, classes: list[str], validation: float | None, seed: int) -> OpenedSamples:
    """Open a weighted set as data, standardised by its training part.

    Args:
        given: The samples.
        classes: Names of the classes, by label.
        validation: Share of the samples to validate on; equal ones are on one side, whatever their labels, and a class too small
            to be on both sides is trained on whole. At 0, or where fewer than two classes are left, validation is on the training
            samples; None leaves nothing to validate on.
        seed: Of the split.

    Raises:
        ValueError: If values are too large to standardise.
    """
    labels, weights = torch.from_numpy(given.labels), torch.from_numpy(given.weights)
    train = held_out = torch.arange(len(given))
    if validation is None:
        held_out = held_out[:0]
    elif validation > 0:
        with suppress(UserError):  # the classes are too small
            train, held_out = _held_out(given, classes, validation, seed)
    scaling = standardisation(given.part(train.numpy()))
    scaled = torch.from_numpy(np.concatenate([scaling(given.samples[p]).astype(np.float32) for p in _chunks(len(given))]))
    if scaled.dim() == 2:
        scaled = scaled[:, :, None, None]
    # A mean of 1 makes the learning rate's meaning independent of the weights' unit.
    relative = (weights / weights[train].mean()).float()
    alike = bool((relative == relative[0]).all())
    splits: dict[Split, Samples] = {
        "train": Samples(scaled[train], labels[train], None if alike else relative[train]),
        "validation": Samples(scaled[held_out], labels[held_out], None if alike else relative[held_out]),
        "test": Samples(scaled[:0], labels[:0]),  # the user's own
    }
    ones: Tensor = torch.ones(scaled.shape[1])
    return OpenedSamples(ResidentData(splits, classes, 0 * ones, ones), scaling, not torch.equal(train, held_out))


def _held_out(given: WeightedSet, classes: list[str], validation: float, seed: int) -> tuple[Tensor, Tensor]:
    """Indices to train and to validate on. A class without two different samples is trained on, with what is equal to its one.

    Raises:
        UserError: If the other classes cannot be split.
    """
    different = np.array([len(np.unique(given.groups[given.labels == label])) for label in range(len(classes))])
    large = different > 1
    if large.sum() < 2:
        raise UserError("fit: fewer than two classes have two different samples")
    among = np.flatnonzero(~np.isin(given.groups, given.groups[~large[given.labels]]))
    names, label_of = [name for name, kept in zip(classes, large, strict=True) if kept], np.cumsum(large) - 1
    labels, groups = label_of[given.labels[among]], np.unique(given.groups[among], return_inverse=True)[1]
    _, off = stratified_groups(
        torch.from_numpy(labels), torch.from_numpy(groups), validation, seed, names, "validation_fraction", "fit"
    )
    held_out = torch.from_numpy(among)[off]
    trained = torch.ones(len(given), dtype=torch.bool).index_fill(0, held_out, False)
    return trained.nonzero()[:, 0], held_out
