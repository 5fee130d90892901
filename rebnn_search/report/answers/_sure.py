"""How sure the choice is, by the validation samples."""

from __future__ import annotations

from rebnn_search.report.answers.base import Answer, counted, gained, percent, question
from rebnn_search.report.statistics import RESAMPLES
from rebnn_search.report.tracked import TrackedSearch

FIRM = 0.95


@question("sure", "How sure is the choice?", place=20)
def sure(search: TrackedSearch) -> Answer | None:
    """In how many resamples of the validation samples the chosen configuration stays the best."""
    if not search.complete:
        return None
    known = search.evaluation
    if known is None:
        return Answer(f"Not known: {search.not_evaluated}.")
    if not known.contenders:
        return Answer(f"Not known: {known.not_compared}.")
    chosen, others = known.contenders[0], known.contenders[1:]
    samples = counted(known.compared, "validation sample")
    short = (
        f"{chosen.name} stays the best of {len(known.contenders)} in {percent(chosen.first)} of {RESAMPLES:,} resamples of "
        f"{samples}"
    )
    rivals = [one for one in others if one.low <= 0]
    if rivals:
        short += f"; {', '.join(one.name for one in rivals)} cannot be told from it on these samples."
    else:
        short += f", and none of {'those compared' if known.missing else 'the others'} comes near it."
    details = [
        "Behind it: "
        + "; ".join(
            f"{one.name} by {gained(search, one.behind)} (95 %: {gained(search, one.low)} to {gained(search, one.high)}), "
            f"first in {percent(one.first)}"
            for one in others
        )
        + ".",
        "This is what other samples of the same kind would do to the choice; another seed is not among it."
        if search.search.spec.seeds == 1
        else "This is what other samples of the same kind would do to the choice, each configuration being the mean of its seeds.",
    ]
    if known.missing:
        details.append(f"Not compared: {'; '.join(known.missing)}.")
    if known.compared < known.split:
        details.append(
            f"Computed on {known.compared:,} of the {known.split:,} samples, drawn at random, to be done in seconds."
        )
    return Answer(short, details, ("contenders",))
