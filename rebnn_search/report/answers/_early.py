"""Whether less training had told as much."""

from __future__ import annotations

from rebnn_search.report.answers.base import Answer, counted, objective, percent, question
from rebnn_search.report.early_looks import FEWEST, EarlyLooks, early_looks
from rebnn_search.report.statistics import Interval
from rebnn_search.report.tracked import TrackedSearch

CLOSE = 0.7
"""A rank correlation from which on the order is told to be much as at the end."""
SHARES = (0.1, 0.25, 0.5)


@question("early", "Could it have been told earlier?", place=45)
def early(search: TrackedSearch) -> Answer | None:
    """How much the order of the trials early in training was as at the end."""
    found = early_looks(search)
    if found.trials < FEWEST:
        return Answer(f"Too few to tell: {counted(found.trials, 'trial')} trained to the end; it takes {FEWEST}.")
    if not found.looks:
        return None
    details = [_by_share(search, found)]
    if found.selected:
        details.append(
            "Others were pruned. Those that are compared here looked good early, and among such a look tells less than among all."
        )
    if found.at(0.25).rho.low <= 0:
        details.append(
            "Where early looks do not tell, a pruner ends trials, or holds them back, much as by chance: `pruner: none`, or shorter "
            "trainings."
        )
    return Answer(_short(found), details, ("early_looks",))


def _short(found: EarlyLooks) -> str:
    quarter = found.at(0.25)
    if quarter.rho.low <= 0:
        after = percent(quarter.share)
        return f"Not after {after} of the training: no rank correlation with the end that is beyond chance, {_written(quarter.rho)}."
    told = next((look for look in map(found.at, SHARES) if look.rho.mean >= CLOSE), None)
    if told is not None:
        after = percent(told.share)
        return f"After {after} of the training the order of the trials was much as at the end: rank correlation {_written(told.rho)}."
    return f"In part: after {percent(quarter.share)} of the training the rank correlation with the end was {_written(quarter.rho)}."


def _by_share(search: TrackedSearch, found: EarlyLooks) -> str:
    looks = {look.share: look for look in (found.at(share) for share in SHARES)}
    told = "; ".join(f"{percent(look.share)}: {_written(look.rho)}" for look in looks.values())
    return (
        f"Spearman's rank correlation of the {objective(search)} after so much of the training with that at the end, of "
        f"{found.trials:,} trials trained to it, with its 95 % interval: {told}."
    )


def _written(rho: Interval) -> str:
    return f"{rho.mean:+.2f} ({rho.low:+.2f} to {rho.high:+.2f})".replace("-", "−")
