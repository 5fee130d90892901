"""Where the chosen network is wrong, and whether its probabilities can be taken at their word."""

from __future__ import annotations

from rebnn_search.report.answers.base import Answer, counted, percent, question
from rebnn_search.report.statistics import wilson
from rebnn_search.report.tracked import TrackedSearch

NAMED = 3


@question("wrong", "Where is it wrong?", place=50)
def wrong(search: TrackedSearch) -> Answer | None:
    """How many samples it gets wrong, of which classes, taken for which."""
    known = search.evaluation
    if known is None:
        return None
    missed = known.samples - sum(known.correct)
    share = wilson(missed, known.samples)
    part = "" if known.samples == known.split else f", drawn from {known.split:,}"
    short = (
        f"#{known.trial} takes {missed:,} of {counted(known.samples, 'validation sample')}{part} for another class: "
        f"{percent(share.mean, 1)} (95 %: {percent(share.low, 1)} to {percent(share.high, 1)})."
    )
    details = []
    if known.confused:
        pairs = [f"{known.classes[a]} for {known.classes[b]} ({count})" for a, b, count in known.confused[:NAMED]]
        details.append(f"Most often {', '.join(pairs)}.")
    shares = [(wilson(hits, total), k) for k, (hits, total) in enumerate(zip(known.correct, known.total, strict=True)) if total]
    shares.sort(key=lambda one: one[0].mean)
    if len(shares) > 1 and missed:
        low, high = shares[0], shares[-1]
        details.append(
            f"It is least accurate on {known.classes[low[1]]}, {percent(low[0].mean, 1)} (95 %: {percent(low[0].low, 1)} to "
            f"{percent(low[0].high, 1)}, n = {known.total[low[1]]}), most on {known.classes[high[1]]}, {percent(high[0].mean, 1)}."
        )
    figures = [name for name, there in (("confusion", known.confusion), ("mistakes", known.mistakes)) if there]
    return Answer(short, details, figures)


@question("calibrated", "Can its probabilities be trusted?", place=60)
def calibrated(search: TrackedSearch) -> Answer | None:
    """The expected calibration error against what a calibrated network's is by chance."""
    known = search.evaluation
    if known is None:
        return None
    found = known.reliability
    filled = [k for k, count in enumerate(found.counts) if count]
    said = sum(found.confidence[k] * found.counts[k] for k in filled) / known.samples
    right = sum(found.accuracy[k] * found.counts[k] for k in filled) / known.samples
    sizes = (
        f"the expected calibration error is {percent(found.error, 1)}, and a calibrated network's would be up to "
        f"{percent(found.chance, 1)} by chance"
    )
    if found.error <= found.chance:
        short = f"As far as {counted(known.samples, 'sample')} can tell, yes: {sizes}."
    else:
        way = "more sure than right" if said > right else "less sure than right"
        short = f"Not as they are: {sizes}; it is {way}."
    details = [f"On average it gives the class that it names {percent(said, 1)}, and is right in {percent(right, 1)}."]
    return Answer(short, details, ("reliability",))
