"""The finalists beside each other: what validation said of them, and what they do, take and weigh.

Nothing is chosen here: by then the model is. The test split is read for each finalist when it is finished, and tells the user alone.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from rebnn_search.auto._candidate import HELD_OUT, Candidate, Made
from rebnn_search.auto._scores import scores_of
from rebnn_search.training.calibration import cross_entropy
from rebnn_search.training.data import Data
from rebnn_search.training.evaluation import logits_of

SLOWER = 1.5
"""How much longer the next finalist may take than the one before."""


@dataclass(frozen=True)
class Finalist:
    """A row.

    Attributes:
        name: Of the network.
        trained_on: On what.
        model: Whether it is the model.
        validation_loss: Cross-entropy on the validation split, classes weighted as in training; None of what was trained on it.
        validation_top1: Percent, likewise.
        test_top1: Percent.
        test_balanced: Mean over the classes of the percent that are right.
        latency_ms: Milliseconds for one sample of the packed file: one thread, torch, median.
        bytes: Of the packed file.
    """

    name: str
    trained_on: str
    model: bool
    validation_loss: float | None
    validation_top1: float | None
    test_top1: float
    test_balanced: float
    latency_ms: float
    bytes: int


def leaderboard(made: Made, data: Data, weights: Tensor | None, end: float) -> tuple[list[Finalist], list[str]]:
    """The rows of the finalists that there is time for, the model first, and the names of those left out.

    Args:
        made: The finalists.
        data: Opened as they read them.
        weights: Of each class (classes,) in the validation loss; None is 1.
        end: By `time.monotonic`.
    """
    rows: list[Finalist] = []
    longest = 0.0
    candidates = _finalists(made)
    for candidate in candidates:
        begun = time.monotonic()
        if rows and begun + SLOWER * longest > end:
            break
        rows.append(_row(candidate, candidate is made.shipped, data, weights))
        longest = max(longest, time.monotonic() - begun)
    return rows, [candidate.name for candidate in candidates[len(rows) :]]


def _finalists(made: Made) -> list[Candidate]:
    """Each once."""
    found = [made.shipped]
    for candidate in (*([] if made.judged is None else [made.judged]), *made.others):
        if not any(candidate is known for known in found):
            found.append(candidate)
    return found


def _row(candidate: Candidate, shipped: bool, data: Data, weights: Tensor | None) -> Finalist:
    loss = top1 = None
    if candidate.trained_on == HELD_OUT and data.size("validation"):
        logits, labels = logits_of(candidate.network, data, "validation"), data.labels("validation")
        loss = cross_entropy(logits, labels, weights=None if weights is None else weights[labels])
        top1 = scores_of(logits, labels).top1
    scores = scores_of(logits_of(candidate.network, data, "test"), data.labels("test"))
    latency, size = _cost(candidate)
    return Finalist(candidate.name, candidate.trained_on, shipped, loss, top1, scores.top1, scores.balanced, latency, size)


def _cost(candidate: Candidate) -> tuple[float, int]:
    """Milliseconds and bytes of a network's packed file."""
    import tempfile
    from pathlib import Path

    from rebnn_search.export import export_packed
    from rebnn_search.study.objectives import OBJECTIVES, MeasuredNetwork

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "packed.safetensors"
        export_packed(candidate.network, candidate.info, file)
        content = file.read_bytes()
    packed = MeasuredNetwork(candidate.network, candidate.info, content)
    return OBJECTIVES["latency"](format="packed").measure(packed), len(content)  # type: ignore[call-arg,attr-defined]


def leaderboard_lines(rows: Sequence[Finalist], left_out: Sequence[str]) -> list[str]:
    """For the user: a table of the finalists."""
    width = max(len(row.name) for row in rows)
    head = f"  {'':{width}}  validation    test  balanced  latency      bytes"
    lines = ["finalists, chosen by validation; the test split was read for each when it was finished, and chose nothing:", head]
    for row in rows:
        validation = f"{'-':>10}" if row.validation_top1 is None else f"{row.validation_top1:8.2f} %"
        mark = "*" if row.model else " "
        lines.append(
            f"{mark} {row.name:{width}}  {validation}  {row.test_top1:6.2f}  {row.test_balanced:8.2f}  {row.latency_ms:4.2f} ms  "
            f"{row.bytes:9,}"
        )
    lines.append("  (* the model; percent; latency of one sample, one thread; - was trained on the validation split)")
    if left_out:
        lines.append(f"  no time was left for {', '.join(left_out)}")
    return lines
