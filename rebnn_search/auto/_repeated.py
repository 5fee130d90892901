"""Test samples that are also among those trained on: what a network learnt by heart it is then asked again."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from rebnn_search.training.data import Data, ResidentData

SHARE = 0.01
"""Of the test samples: fewer are not worth a word."""


def repeated(data: Data) -> int:
    """How many test samples equal, in all that a network is given of them, a sample that is trained or validated on.

    0 where the samples are not in memory.
    """
    if not isinstance(data, ResidentData):
        return 0
    known = {*_keys(data.samples("train").images), *_keys(data.samples("validation").images)}
    return sum(key in known for key in _keys(data.samples("test").images))


def repeated_lines(data: Data, images: bool) -> list[str]:
    """What to say of that, if anything."""
    count, test = repeated(data), data.size("test")
    if count <= SHARE * test:
        return []
    what = "pictures" if images else "rows"
    alike = f"to the pixel, at {data.image_size}×{data.image_size}" if images else "in all columns to learn from"
    return [
        f"{count:,} of {test:,} test {what} equal {what} that are trained on, {alike}: where those are copies, and not other cases "
        "that look the same, the accuracies below count what was learnt by heart; take the copies out of the data"
    ]


def _keys(images: Tensor) -> list[bytes]:
    # In one type, for samples that a file gives for a split may be in another; and with one zero.
    rows = np.ascontiguousarray(images.flatten(1).numpy())
    rows = rows if rows.dtype == np.uint8 else rows.astype(np.float64) + 0.0
    return rows.view(f"V{rows.shape[1] * rows.itemsize}").ravel().tolist() if len(rows) else []
