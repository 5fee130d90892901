"""What a question of the report keeps to."""

from __future__ import annotations

import re
from collections.abc import Callable

from rebnn_search.report.answers import Question
from rebnn_search.report.figures import FIGURES
from rebnn_search.testing.recorded_search import ALL_STATES, FEW_STATES, RecordedSearch

Make = Callable[[], Question]


def is_asked_in_words(make: Make) -> None:
    """Its name is fit for an anchor, and it ends in a question mark."""
    question = make()
    assert re.fullmatch(r"[a-z0-9_]+", question.name), f"{question.name!r} is no anchor of a page"
    assert question.text.endswith("?"), f"{question.text!r} is no question"


def answers_a_search(make: Make) -> None:
    """Of one with trials of every kind: in sentences, with pictures that there are, and the same again."""
    search = RecordedSearch(ALL_STATES)
    answer = make().ask(search)
    assert answer is not None, "there is no answer for a search that has all"
    for sentence in (answer.short, *answer.details):
        assert sentence.endswith("."), f"{sentence!r} is no sentence"
    there = {figure.name for figure in FIGURES}
    missing = [name for name in answer.figures if name not in there]
    assert not missing, f"there are no figures {', '.join(missing)}"
    assert answer == make().ask(search), "two answers of one search differ"


def answers_with_little_or_not_at_all(make: Make) -> None:
    """Of a search whose trials all failed, or that has one, there may be no answer; an error there may not."""
    for states in FEW_STATES:
        make().ask(RecordedSearch(states))


QUESTION_CHECKS = (is_asked_in_words, answers_a_search, answers_with_little_or_not_at_all)
"""For anything that makes a `rebnn_search.report.answers.Question`."""
