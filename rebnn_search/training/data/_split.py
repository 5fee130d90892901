"""Stratified splits: a function of the labels, the fractions and a seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor, from_numpy

from rebnn_search.config import UserError


def check_fractions(**fractions: float) -> None:
    """Check that fractions are within (0, 1) and leave something over.

    Raises:
        ValueError: If not.
    """
    for name, fraction in fractions.items():
        if not 0 < fraction < 1:
            raise ValueError(f"{name} must be between 0 and 1, not {fraction}")
    if sum(fractions.values()) >= 1:
        raise ValueError(
            f"{' + '.join(fractions)} must be below 1 to leave something to train on, not {sum(fractions.values())}"
        )


def stratified(
    labels: Tensor, fraction: float, seed: int, classes: Sequence[str], what: str, source: str
) -> tuple[Tensor, Tensor]:
    """Split sample indices in two with every class in proportion: (what is left, what is split off), each in rising order.

    Args:
        labels: (N,) int64.
        fraction: Share to split off.
        seed: Of the choice.
        classes: Names, for messages.
        what: What is split off, for messages.
        source: Where the data came from, for messages.

    Raises:
        UserError: If a class is too small to be on both sides.
    """
    counts = np.bincount(labels.numpy(), minlength=len(classes))
    for name, count in zip(classes, counts, strict=True):
        if count < 2:
            raise UserError(
                f"{source}: class {name!r} has {count} sample{'' if count == 1 else 's'}: too few to split off {what}"
            )
    size = round(fraction * len(labels))
    if not len(classes) <= size <= len(labels) - len(classes):
        raise UserError(
            f"{source}: {what} = {fraction} of {len(labels)} samples is {size}: both sides need at least one of each of the "
            f"{len(classes)} classes"
        )
    from sklearn.model_selection import train_test_split  # takes a second to import, which checking a recipe need not

    left, off = train_test_split(np.arange(len(labels)), test_size=size, random_state=seed, stratify=labels.numpy())
    return from_numpy(np.sort(left)), from_numpy(np.sort(off))
