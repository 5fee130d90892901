"""Questions with their answers, and how the numbers in these are written."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rebnn_search.base.command import allow_words
from rebnn_search.base.layout import STORAGE
from rebnn_search.base.metrics import VAL_LOSS, VAL_TOP1, VAL_TOP5
from rebnn_search.report.by_place import ByPlace
from rebnn_search.report.statistics import Interval
from rebnn_search.report.tracked import TrackedSearch

WORDS = {VAL_LOSS: "validation loss", VAL_TOP1: "validation Top-1", VAL_TOP5: "validation Top-5"}
UNITS = {VAL_TOP1: " %", VAL_TOP5: " %"}


@dataclass(frozen=True)
class Answer:
    """An answer to one question.

    Attributes:
        short: The answer in a sentence.
        details: Sentences that say more.
        figures: Names of the pictures that show it.
        commands: What to type.
    """

    short: str
    details: Sequence[str] = ()
    figures: Sequence[str] = ()
    commands: Sequence[str] = ()


Ask = Callable[[TrackedSearch], Answer | None]
"""Answers a question of a tracked search; None where the question has no sense for it."""


@dataclass(frozen=True)
class Question:
    """What the report answers.

    Attributes:
        name: Its anchor on the page.
        text: As one asks it.
        ask: Answers it.
        place: Where it stands among the others, smallest first.
    """

    name: str
    text: str
    ask: Ask
    place: int


QUESTIONS: ByPlace[Question] = ByPlace("question")
"""Every question that the report answers."""


def question(name: str, text: str, *, place: int = 1000) -> Callable[[Ask], Ask]:
    """Enter a function among the questions; see `Question`."""

    def enter(ask: Ask) -> Ask:
        QUESTIONS.add(Question(name, text, ask, place))
        return ask

    return enter


def objective(search: TrackedSearch) -> str:
    """The objective in words."""
    return WORDS.get(search.objective, search.objective)


def written(search: TrackedSearch, value: float) -> str:
    """A value of the objective with its unit."""
    return f"{search.search.goals[0].text(value)}{UNITS.get(search.objective, '')}".replace("-", "−")


def written_between(search: TrackedSearch, interval: Interval) -> str:
    """The ends of an interval of the objective."""
    return f"{written(search, interval.low)} to {written(search, interval.high)}"


def gained(search: TrackedSearch, value: float) -> str:
    """A difference in the objective with its unit: of percentages it is points."""
    return written(search, value).replace(" %", " points")


def gained_between(search: TrackedSearch, interval: Interval) -> str:
    """The ends of an interval of differences in the objective."""
    return f"{gained(search, interval.low)} to {gained(search, interval.high)}"


def allowed(search: TrackedSearch) -> list[str]:
    """The options by which a command may make the search's networks again, where they are the user's own."""
    return allow_words(search.search.own_parts)


def storage_of(search: TrackedSearch) -> str:
    """Where the search's last run kept it, as it was given; `STORAGE` where nothing tells."""
    for run in search.history[-1:]:
        if "storage" in run:
            return str(run["storage"])
        typed = shlex.split(str(run.get("command") or ""))  # of a version that noted no more
        if "--storage" in typed[:-1]:
            return typed[typed.index("--storage") + 1]
    return STORAGE


def percent(share: float, digits: int = 0) -> str:
    """A share in percent."""
    return f"{100 * share:.{digits}f} %"


def counted(number: int, one: str, many: str | None = None) -> str:
    """A number with what it counts: 1 trial, 2 trials."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
