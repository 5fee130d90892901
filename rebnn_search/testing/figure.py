"""What a figure of the report keeps to."""

from __future__ import annotations

import io
import re
from collections.abc import Callable

from rebnn_search.report.figures import Figure, style
from rebnn_search.report.tracked import TrackedSearch
from rebnn_search.testing.recorded_search import ALL_STATES, FEW_STATES, RecordedSearch

Make = Callable[[], Figure]


def _drawn(figure: Figure, search: TrackedSearch) -> bytes | None:
    with style():
        drawn = figure.draw(search)
        if drawn is None:
            return None
        buffer = io.BytesIO()
        drawn.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def says_what_it_is(make: Make) -> None:
    """Its name is one of a file, and it has title and caption."""
    figure = make()
    assert re.fullmatch(r"[a-z0-9_]+", figure.name), f"{figure.name!r} is no name of a file"
    assert figure.title.strip() and figure.caption.strip(), "a title or caption is missing"


def draws_a_search(make: Make) -> None:
    """Of one with every method, trials trained to their end, pruned and failed; the same search is the same picture."""
    search = RecordedSearch(ALL_STATES)
    first = _drawn(make(), search)
    assert first is not None, "nothing is drawn of a search that has all"
    assert first == _drawn(make(), search), "two pictures of one search differ"


def leaves_out_what_there_is_not(make: Make) -> None:
    """Of a search whose trials all failed, or that has one, there may be no picture; an error there may not."""
    for states in FEW_STATES:
        _drawn(make(), RecordedSearch(states))


FIGURE_CHECKS = (says_what_it_is, draws_a_search, leaves_out_what_there_is_not)
"""For anything that makes a `rebnn_search.report.figures.Figure`."""
