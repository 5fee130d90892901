"""Python's and NumPy's global generators of random numbers, from which networks and augmentations of others draw beside torch's."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np


@contextmanager
def generators_given_back() -> Iterator[None]:
    """Leave both as they were found."""
    before = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])


def seed_generators(seed: int) -> None:
    """Begin both anew, as functions of a seed of 0 or more."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # the one that others draw from


def generator_state() -> dict[str, Any]:
    """The state of both, as plain values."""
    name, words, *rest = np.random.get_state()
    return {"python": random.getstate(), "numpy": (name, np.asarray(words).tolist(), *rest)}


def set_generator_state(state: Mapping[str, Any]) -> None:
    """Go on from a state of both."""
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
