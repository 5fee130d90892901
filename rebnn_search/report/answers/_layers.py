"""Which layers oscillate."""

from __future__ import annotations

from rebnn_search.report.answers.base import Answer, question
from rebnn_search.report.layers import flips_by_layer
from rebnn_search.report.tracked import TrackedSearch


@question("layers", "Which layers oscillate?", place=70)
def layers(search: TrackedSearch) -> Answer | None:
    """Which binary layer's weights flip most and least over all epochs, and how that changed."""
    chosen = search.chosen
    flips = None if chosen is None else flips_by_layer(search, chosen)
    if flips is None:
        return None
    mean = flips.ratios.mean(1)
    most, least = int(mean.argmax()), int(mean.argmin())
    begin, end = float(flips.ratios[:, 0].mean()), float(flips.ratios[:, -1].mean())
    count = len(flips.layers)
    short = (
        f"Of {count} binary layers number {most + 1} does most: {_share(mean[most])} of its weights change their sign in a step, "
        f"mean over all epochs; {_share(mean[least])} in number {least + 1}, which does least."
    )
    change = f"Over all layers flips went from {_share(begin)} a step in the first epoch to {_share(end)} in the last."
    return Answer(short, [change], ("layers", "oscillation"))


def _share(value: float) -> str:
    return f"{100 * float(value):.2g} %"
