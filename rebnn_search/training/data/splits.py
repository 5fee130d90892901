"""Stratified splits: a function of the labels, the fractions and a seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, from_numpy

from rebnn_search.config import UserError
from rebnn_search.training.data.base import Split

GIVEN: Mapping[Split, Sequence[str]] = {"test": ("test",), "validation": ("val", "valid", "validation")}
"""Splits that an ``.npz`` file may hold, and what its arrays are called after ``X_`` and ``y_``."""


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


def drawn_splits(
    targets: Tensor, shares: Mapping[Split, float], seed: int, classes: Sequence[str], source: str, groups: Tensor | None = None
) -> dict[Split, Tensor]:
    """Sample indices by split: a stratified share of the labels (n,) for each split named, one after another, ``train`` the rest.

    Args:
        targets: (N,) int64, the labels.
        shares: Of the samples, by split.
        seed: Of the choice.
        classes: Names, for messages.
        source: Where the data came from, for messages.
        groups: (N,) int64: samples of one number are in one split. None where each may be in any.

    Raises:
        UserError: If a class is too small to split, or its groups are too few.
    """
    drawn: dict[Split, Tensor] = {}
    rest, taken = torch.arange(len(targets)), 0.0
    for later, (name, share) in zip(reversed(range(len(shares))), shares.items(), strict=True):
        of = share / (1 - taken)
        if groups is None:
            left, off = stratified(targets[rest], of, seed, classes, name, source)
        else:
            left, off = stratified_groups(targets[rest], groups[rest], of, seed, classes, name, source, later + 1)
        drawn[name] = rest[off]
        rest, taken = rest[left], taken + share
    return {**drawn, "train": rest}


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
    size = _split_size(labels, fraction, classes, what, source)
    from sklearn.model_selection import train_test_split  # takes a second to import, which checking a recipe need not

    _, off = train_test_split(np.arange(len(labels)), test_size=size, random_state=seed, stratify=labels.numpy())
    is_off = np.zeros(len(labels), dtype=bool)
    is_off[off] = True
    _give_every_class_both(labels.numpy(), is_off, len(classes))
    return from_numpy(np.flatnonzero(~is_off)), from_numpy(np.flatnonzero(is_off))


def _give_every_class_both(labels: np.ndarray[Any, Any], off: np.ndarray[Any, Any], classes: int) -> None:
    """Where a rare class is on one side alone, let one of its samples change sides with one of the largest class on the other."""
    for side in (True, False):
        for missing in np.flatnonzero(np.bincount(labels[off == side], minlength=classes) == 0):
            largest = np.bincount(labels[off == side], minlength=classes).argmax()
            taken = np.flatnonzero((labels == missing) & (off != side))[0]
            given = np.flatnonzero((labels == largest) & (off == side))[-1]
            off[taken], off[given] = side, not side


def stratified_groups(
    labels: Tensor, groups: Tensor, fraction: float, seed: int, classes: Sequence[str], what: str, source: str, keep: int = 1
) -> tuple[Tensor, Tensor]:
    """Split as `stratified`, with no group on both sides.

    Groups of several samples are dealt out first, in a random order, each to the side that brings the classes' numbers among them
    nearer to the fraction; single samples then fill each class up to its number, drawn at random.

    Args:
        labels: (N,) int64.
        groups: (N,) int64, from 0: samples of one number stay together.
        fraction: Share of the samples to split off.
        seed: Of the choice.
        classes: Names, for messages.
        what: What is split off, for messages.
        source: Where the data came from, for messages.
        keep: Groups of each class that are left, if it has so many and one more: to split further.

    Raises:
        UserError: If a class is too small to be on both sides, or its groups leave it on one.
    """
    size = _split_size(labels, fraction, classes, what, source)
    y, group = labels.numpy(), groups.numpy()
    random = np.random.RandomState(seed)
    counts = np.bincount(y, minlength=len(classes))
    wanted = _allocated(counts, fraction, size, random)
    off = np.zeros(len(y), dtype=bool)
    members, by_group = np.bincount(group), np.argsort(group, kind="stable")
    ends = np.cumsum(members)
    share = fraction * np.bincount(y[members[group] > 1], minlength=len(classes))
    held = np.zeros(len(classes))
    for number in random.permutation(np.flatnonzero(members > 1)):
        together = by_group[ends[number] - members[number] : ends[number]]
        more = np.bincount(y[together], minlength=len(classes))
        with_it, without = ((held + more - share) ** 2).sum(), ((held - share) ** 2).sum()
        if with_it < without or (with_it == without and (held[more > 0] == 0).any()):
            off[together] = True
            held += more
    single = random.permutation(np.flatnonzero(members[group] == 1))
    for label in range(len(classes)):
        off[single[y[single] == label][: max(0, round(wanted[label] - held[label]))]] = True
    _spread_groups(y, group, off, len(classes), keep)
    for side in (off, ~off):
        present = np.bincount(y[side], minlength=len(classes))
        if not present.all():
            name = classes[int(present.argmin())]
            raise UserError(
                f"{source}: class {name!r}: its samples belong together in too few groups to split off {what} without one on both "
                "sides"
            )
    return from_numpy(np.flatnonzero(~off)), from_numpy(np.flatnonzero(off))


def _spread_groups(
    y: np.ndarray[Any, Any], group: np.ndarray[Any, Any], off: np.ndarray[Any, Any], classes: int, keep: int
) -> None:
    """Where a class has no group on one side, or too few, let the smallest that the other side can spare change sides."""
    group_of, label_of = np.divmod(np.unique(group * classes + y), classes)  # each pair once
    side, size = np.zeros(int(group.max()) + 1, dtype=bool), np.bincount(group)
    side[group] = off

    def count(there: bool) -> np.ndarray[Any, Any]:
        return np.bincount(label_of[side[group_of] == there], minlength=classes)

    for here, least, spare in ((True, 1, keep), (False, keep, 1)):
        for label in np.flatnonzero(count(here) < least):
            others = group_of[(label_of == label) & (side[group_of] != here)]
            for number in others[np.argsort(size[others], kind="stable")]:
                taken = label_of[group_of == number]
                if count(here)[label] < least and (count(not here)[taken] > spare).all():
                    side[number] = here
    off[:] = side[group]


def _split_size(labels: Tensor, fraction: float, classes: Sequence[str], what: str, source: str) -> int:
    """How many samples are split off; checks that every class can be on both sides."""
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
    return size


def _allocated(counts: np.ndarray[Any, Any], fraction: float, size: int, random: np.random.RandomState) -> np.ndarray[Any, Any]:
    """How many of each class are split off: its share rounded down, what is then missing by largest remainder, ties at random."""
    share = counts * fraction
    wanted = np.floor(share)
    order = np.lexsort((random.permutation(len(counts)), wanted - share))
    wanted[order[: max(0, size - int(wanted.sum()))]] += 1
    return np.clip(wanted, 1, counts - 1)
