"""How long a model takes for a batch."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

import torch

from rebnn_search.export._loaded import LoadedModel

WARM_UP = 10
"""Batches before the first that is timed."""


def batch_milliseconds(model: LoadedModel, batch: int, repeats: int, *, seconds: float = math.inf) -> float:
    """Milliseconds that a model takes for a batch on the CPU: median, one thread, normalisation included.

    Args:
        model: The model.
        batch: Samples in the batch.
        repeats: Batches that are timed, after `WARM_UP` that are not.
        seconds: After so many no further batch begins, so that fewer are timed, at least the last.
    """
    with one_thread():
        info = model.info
        mean = torch.tensor(info.mean).view(1, -1, 1, 1)
        mean = mean if info.white is None else mean.round().to(torch.uint8)  # as pictures are given
        images = mean.expand(batch, -1, info.image_size, info.image_size).numpy()
        times: list[int] = []
        started = time.perf_counter()
        while len(times) < WARM_UP + repeats and (not times or time.perf_counter() - started < seconds):
            begun = time.perf_counter_ns()
            model.logits(images)
            times.append(time.perf_counter_ns() - begun)
        return median(times[WARM_UP:] or times[-1:]) / 1e6


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on one thread; engines that are made meanwhile take as many as it has."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
