"""How large and how fast the exported model is."""

from __future__ import annotations

import shlex

from rebnn_search.report.answers.base import Answer, allowed, question, storage_of
from rebnn_search.report.record import BatchTime
from rebnn_search.report.tracked import TrackedSearch


@question("size", "How large and how fast is it?", place=80)
def size(search: TrackedSearch) -> Answer | None:
    """Bytes of the packed file against float32, and milliseconds on one thread."""
    known = search.evaluation
    if known is None:
        return None
    short = (
        f"{_bytes(known.packed)} as a packed file, {known.float32 / known.packed:.1f} times smaller than its numbers in float32 "
        f"({_bytes(known.float32)})"
    )
    single = min((one for one in known.latencies if one.batch == 1), key=lambda one: one.milliseconds, default=None)
    if single is not None:
        short += f"; {_time(single.milliseconds)} for one sample, computed by {_engine(single)}"
    details = []
    if known.latencies:
        times = "; ".join(
            f"{_engine(one)}: {_time(one.milliseconds)} for a batch of {one.batch} "
            f"({1000 * one.batch / one.milliseconds:,.0f} samples a second)"
            for one in known.latencies
        )
        details.append(f"On one thread of the machine that drew this report, medians, normalisation included: {times}.")
    command = shlex.join(
        ["rebnn-search", "export", f"{storage_of(search)}/{search.name}", "--format", "packed", *allowed(search)]
    )
    return Answer(f"{short}.", details, (), [command])


def _engine(one: BatchTime) -> str:
    if one.sums == "float32":
        return one.engine
    return f"{one.engine} {'on bits' if one.sums == 'bits' else 'in int8'}"


def _bytes(count: int) -> str:
    for unit, size in (("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count} bytes"


def _time(milliseconds: float) -> str:
    return f"{milliseconds:.3g} ms"
