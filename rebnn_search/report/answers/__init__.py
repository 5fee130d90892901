"""What the report begins with: answers to what one asks a search, short, with numbers and how sure they are."""

import warnings

from rebnn_search.base.discovery import import_modules
from rebnn_search.config import Notice, UserError
from rebnn_search.report.answers.base import QUESTIONS, Answer, Question, question
from rebnn_search.report.tracked import TrackedSearch
from rebnn_search.training.custom_parts import described

__all__ = ["QUESTIONS", "Answer", "Question", "answers", "question"]


def answers(search: TrackedSearch) -> dict[Question, Answer]:
    """All answers that a search has, in the order of the page. A question that cannot be answered is told of and left out."""
    found = {}
    for one in QUESTIONS:
        try:
            answer = one.ask(search)
        except (UserError, OSError):  # as with figures
            raise
        except Exception as error:  # of somebody's own question, perhaps
            warnings.warn(f"the question {one.name} is left out: {described(error)}", Notice, stacklevel=2)
            continue
        if answer is not None:
            found[one] = answer
    return found


import_modules(__name__)
