"""What the report begins with: answers to what one asks a search, short, with numbers and how sure they are."""

from rebnn_search.report.answers._choice import choice
from rebnn_search.report.answers._importance import mattered
from rebnn_search.report.answers._layers import layers
from rebnn_search.report.answers._mistakes import calibrated, wrong
from rebnn_search.report.answers._more import more
from rebnn_search.report.answers._size import size
from rebnn_search.report.answers._sure import sure
from rebnn_search.report.answers.base import Answer
from rebnn_search.report.tracked import TrackedSearch

__all__ = ["Answer", "answers"]

QUESTIONS = (choice, sure, mattered, more, wrong, calibrated, layers, size)
"""In the order of the page; each gives an answer, or None where the question has no sense for a search."""


def answers(search: TrackedSearch) -> list[Answer]:
    """All answers that a search has, in the order of the page."""
    return [found for question in QUESTIONS if (found := question(search)) is not None]
