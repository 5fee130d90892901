"""What is told of a search's data: not again where all was told before it, and in any case that two trials found other data."""

import io

import pytest
from rich.console import Console

from rebnn_search.execution.events import SearchObserver
from rebnn_search.execution.observers import Observers
from rebnn_search.study.spec import Objective
from rebnn_search.terminal import LiveProgress, PlainProgress
from rebnn_search.terminal.state import SearchState


class Watches(SearchObserver):
    """As one that was written before there was `found_other_data`."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def found_data(self, text: str) -> None:
        self.told.append(text)


@pytest.mark.parametrize("display", [PlainProgress, LiveProgress])
@pytest.mark.parametrize("tells", [True, False])
def test_other_data_are_told_in_any_case(display: type[PlainProgress] | type[LiveProgress], tells: bool) -> None:
    out, watches = io.StringIO(), Watches()
    shown = display(Console(file=out, width=200, no_color=True), SearchState(Objective(), epochs=1), tells_data=tells)
    observers = Observers(shown, [watches])
    observers.found_data("2 classes")
    observers.found_other_data("trial #1 found other data")
    assert out.getvalue().splitlines() == [*(["data: 2 classes"] if tells else []), "data: trial #1 found other data"]
    assert watches.told == ["2 classes", "trial #1 found other data"]
