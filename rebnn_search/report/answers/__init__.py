"""What the report begins with: answers to what one asks a search, short, with numbers and how sure they are."""

from rebnn_search.base.discovery import import_modules
from rebnn_search.report.answers.base import QUESTIONS, Answer, Question, question
from rebnn_search.report.tracked import TrackedSearch

__all__ = ["QUESTIONS", "Answer", "Question", "answers", "question"]


def answers(search: TrackedSearch) -> dict[Question, Answer]:
    """All answers that a search has, in the order of the page."""
    return {one: found for one in QUESTIONS if (found := one.ask(search)) is not None}


import_modules(__name__)
