"""Samples as a training sees them: a weighted set, standardised.

Equal samples are merged into one with the sum of their weights, and the set is put in an order of its own. Training is then a
function of the weighted set: a weight of 2 is a repetition, a weight of 0 an absence, and no order of the rows matters, all to
the bit.
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
from rebnn_search.training.data._split import stratified

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
    """

    samples: Array
    labels: Array
    weights: Array

    def __len__(self) -> int:
        return len(self.labels)


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
    """Merge equal samples with equal labels, add up their weights, drop those of weight 0 and sort the rest by their bytes."""
    kept = weights > 0
    samples, labels, weights = samples[kept], labels[kept].astype(np.int64), weights[kept]
    rows = np.ascontiguousarray(samples).reshape(len(samples), math.prod(samples.shape[1:]))
    if rows.dtype.kind == "f":
        rows = rows + rows.dtype.type(0)  # -0.0 is 0.0 in other bytes
    keys = np.concatenate([rows.view(np.uint8), labels[:, None].view(np.uint8)], axis=1)
    _, first, group = np.unique(keys.view(f"V{keys.shape[1]}").ravel(), return_index=True, return_inverse=True)
    return WeightedSet(samples[first], labels[first], np.bincount(group, weights=weights))


@dataclass(frozen=True)
class Standardisation:
    """Mean and standard deviation of each feature, or of each channel of images, as float64 that broadcast over samples."""

    mean: Array
    std: Array

    def __call__(self, samples: Array) -> Array:
        """Return samples in units of the training data's deviation from its mean, float64."""
        standardised: Array = (samples.astype(np.float64) - self.mean) / self.std
        return standardised


def standardisation(given: WeightedSet) -> Standardisation:
    """Weighted mean and standard deviation of a set; what is constant but for rounding gets std 1.

    Raises:
        ValueError: If a square overflows.
    """
    inner = tuple(range(2, given.samples.ndim))
    share = (given.weights / given.weights.sum())[:, None]
    chunks = [given.samples[part] for part in _chunks(len(given))]
    # Of each sample by itself first: images as bytes never become float64 all at once.
    means = np.concatenate([chunk.mean(inner, dtype=np.float64) for chunk in chunks])
    with np.errstate(over="ignore", invalid="ignore"):
        variances = np.concatenate([chunk.var(inner, dtype=np.float64) for chunk in chunks])
        mean = (share * means).sum(0)
        std = np.sqrt((share * (variances + (means - mean) ** 2)).sum(0))
    if not (np.isfinite(mean).all() and np.isfinite(std).all()):
        raise ValueError("X has values too large to standardise: their squares overflow")
    rounding = 10 * np.finfo(np.float64).eps * np.abs(mean) * np.sqrt(len(given))
    shape = (1, -1, *[1] * len(inner))
    return Standardisation(mean.reshape(shape), np.where(std > rounding, std, 1.0).reshape(shape))


def _chunks(count: int) -> list[slice]:
    return [slice(begin, begin + CHUNK) for begin in range(0, count, CHUNK)]


def as_data(given: WeightedSet, classes: list[str], scaling: Standardisation, validation: float, seed: int) -> ResidentData:
    """Open a weighted set as data with the splits ``train`` and ``validation``.

    Args:
        given: The samples.
        classes: Names of the classes, by label.
        scaling: Applied to the samples.
        validation: Share of the samples to validate on. At 0, or where a class is too small to be on both sides, validation is
            on the training samples.
        seed: Of the split.
    """
    scaled = torch.from_numpy(np.concatenate([scaling(given.samples[p]).astype(np.float32) for p in _chunks(len(given))]))
    if scaled.dim() == 2:
        scaled = scaled[:, :, None, None]
    labels, weights = torch.from_numpy(given.labels), torch.from_numpy(given.weights)
    train = held_out = torch.arange(len(given))
    if validation > 0:
        with suppress(UserError):  # a class is too small
            train, held_out = stratified(labels, validation, seed, classes, "validation_fraction", "fit")
    # A mean of 1 makes the learning rate's meaning independent of the weights' unit.
    relative = (weights / weights[train].mean()).float()
    alike = bool((relative == relative[0]).all())
    splits: dict[Split, Samples] = {
        "train": Samples(scaled[train], labels[train], None if alike else relative[train]),
        "validation": Samples(scaled[held_out], labels[held_out], None if alike else relative[held_out]),
    }
    ones: Tensor = torch.ones(scaled.shape[1])
    return ResidentData(splits, classes, 0 * ones, ones)
