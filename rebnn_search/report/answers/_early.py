"""Whether less training had told as much."""

from __future__ import annotations

from rebnn_search.report.answers.base import Answer, counted, objective, percent, question
from rebnn_search.report.early_looks import FEWEST, EarlyLooks, early_looks
from rebnn_search.report.statistics import Interval
from rebnn_search.report.tracked import TrackedSearch

CLOSE = 0.7
"""A rank correlation from which on the order is told to be much as at the end."""
QUARTER = 0.25
SHARES = (0.1, QUARTER, 0.5)


@question("early", "Could it have been told earlier?", place=45)
def early(search: TrackedSearch) -> Answer | None:
    """How much the order of the configurations early in training was as at the end."""
    found = early_looks(search)
    if found.configurations < FEWEST:
        return Answer(
            f"Too few to tell: {counted(found.configurations, 'configuration')} trained to the end; it takes {FEWEST}."
        )
    if not found.looks:
        return None
    if found.selected:
        short = "Not to be told: the others were pruned, and those that are left had looked good early."
        few = "Among those a look tells less than among all; `pruner: none` would show how much."
        return Answer(short, [_by_share(search, found), few], ("early_looks",))
    details = [_by_share(search, found)]
    quarter = found.at(QUARTER).rho
    if quarter.low <= 0 and quarter.high < CLOSE:
        details.append("A pruner would end such trials, or hold them back, much as by chance, or worse: do without one.")
    return Answer(_verdict(found), details, ("early_looks",))


def _verdict(found: EarlyLooks) -> str:
    """Of a search that pruned nothing."""
    quarter = found.at(QUARTER)
    after, rho = percent(quarter.share), _written(quarter.rho)
    if quarter.rho.high < 0:
        return (
            f"The other way round: what was ahead after {after} of the training was behind at its end, rank correlation {rho}."
        )
    if quarter.rho.low <= 0:
        return f"Not that it shows: after {after} of the training the rank correlation with the end was {rho}."
    told = next((look for look in map(found.at, SHARES) if look.rho.mean >= CLOSE), None)
    if told is None:
        return f"In part: after {after} of the training the rank correlation with the end was {rho}."
    much = "of the training the order was much as at the end: rank correlation"
    return f"After {percent(told.share)} {much} {_written(told.rho)}."


def _by_share(search: TrackedSearch, found: EarlyLooks) -> str:
    looks = {look.share: look for look in (found.at(share) for share in SHARES)}
    told = "; ".join(f"{percent(look.share)}: {_written(look.rho)}" for look in looks.values())
    return (
        f"Spearman's rank correlation of the {objective(search)} after so much of the training with that at the end, of "
        f"{counted(found.configurations, 'configuration')} trained to it, with its 95 % interval: {told}."
    )


def _written(rho: Interval) -> str:
    between = f"{rho.low:+.2f} to {rho.high:+.2f}" if rho.low < rho.high else "no interval"
    return f"{rho.mean:+.2f} ({between})".replace("-", "−")
