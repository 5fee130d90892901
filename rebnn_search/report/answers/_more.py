"""What more trials would bring."""

from __future__ import annotations

import numpy as np

from rebnn_search.report.answers.base import Answer, counted, gained, objective, percent, question, written, written_between
from rebnn_search.report.best_so_far import best_so_far
from rebnn_search.report.statistics import chance_of_better
from rebnn_search.report.tracked import TrackedSearch

LEAST = 4


@question("more", "What would more trials bring?", place=40)
def more(search: TrackedSearch) -> Answer | None:
    """What the last quarter brought, what the last doubling brings on average, and the chance that more find a better one."""
    found = best_so_far(search)
    if not any(found.whole):
        return None
    count, best = len(found.values), found.best
    if count < LEAST:
        return Answer(f"Too few to tell: {counted(count, 'configuration')}.", (), ("history",))
    before = float(best[count - count // 4 - 1])
    after = float(best[-1])
    gain = (before - after) * found.turn
    place = int(np.nanargmin(np.where(np.isnan(best), np.inf, best * found.turn)))
    quarter = counted(count // 4, "configuration")
    if np.isnan(before):
        last = f"The first configuration to be trained to its end is among the last {quarter}"
    elif gain > 0:
        last = f"The last {quarter} of {count} still bettered the {objective(search)}, by {gained(search, gain)}"
    else:
        last = f"The last {quarter} of {count} bettered nothing: the best, #{found.numbers[place]}, was number {place + 1}"
    half = found.expected(count // 2)
    brought = abs(half.mean - float(found.expected(count).mean))
    ended = found.ended
    drawn = (
        f"{ended} more"
        if ended == count
        else f"{ended} more, as many as were tried with those that failed or broke a constraint,"
    )
    details = [
        f"In a random order half of them would have come to {written(search, half.mean)} (95 %: {written_between(search, half)}), so "
        f"that doubling brought {gained(search, brought)} on average; the next doubling seldom brings more than the last.",
        f"Were configurations drawn at random, {drawn} would hold a better one with a chance of "
        f"{percent(chance_of_better(ended, ended))}, the next one with {percent(chance_of_better(ended, 1), 1)}. A sampler that "
        "learns does better than that.",
    ]
    if not all(found.whole):
        details.append(
            "Configurations that were pruned, or lost a seed, count with what is left of them: no best, and bettered by training on."
        )
    return Answer(f"{last}.", details, ("history",))
