"""Which hyperparameters mattered, and how sure that is."""

from __future__ import annotations

from rebnn_search.report.answers.base import Answer, percent, question
from rebnn_search.report.importance import RESAMPLES, Importance, importances
from rebnn_search.report.tracked import TrackedSearch
from rebnn_search.study.table import HEADINGS

NAMED = 4


@question("importance", "What mattered?", place=30)
def mattered(search: TrackedSearch) -> Answer | None:
    """The most important hyperparameter with its interval, or that there are too few trials to tell."""
    if not search.search.space:
        return None
    found = importances(search)
    details = []
    if found.parameters:
        shares = "; ".join(_text(one) for one in found.parameters[:NAMED])
        details.append(
            f"Shares of the differences between the {found.configurations} configurations (fANOVA), mean and 95 % of "
            f"{RESAMPLES} resamples of them: {shares}."
        )
    if found.predicted is not None and found.predicted > 0:
        details.append(
            f"Together the hyperparameters predict {percent(found.predicted)} of these differences in configurations held out; the "
            "rest is chance, or what a forest does not see."
        )
    if found.left_out:
        details.append(f"Not among them, since only some trials have them: {', '.join(map(_name, found.left_out))}.")
    figures = ("importance", "slice") if found.parameters else ("slice",)
    if (why := found.untold) is not None:
        return Answer(why, details, figures)
    first = found.parameters[0]
    short = (
        f"{_name(first.name)}, which explains {percent(first.share)} of the differences (95 %: {percent(first.low)} to "
        f"{percent(first.high)}) and came first in {percent(first.first)} of the resamples."
    )
    return Answer(short, details, figures)


def _name(name: str) -> str:
    return HEADINGS.get(name, name)


def _text(one: Importance) -> str:
    return f"{_name(one.name)} {percent(one.share)} ({percent(one.low)} to {percent(one.high)})"
