"""How long a search will still take, by the pace of its trials."""

import pytest

from rebnn_search.study.spec import Objective
from rebnn_search.terminal.state import SearchState


class Trials:
    """A search of a hundred trials that end one after another."""

    def __init__(self) -> None:
        self.now = 0.0
        self.state = SearchState(Objective(), epochs=1, clock=lambda: self.now)
        self.state.began(100, {})
        self._number = 0

    def end(self, count: int, seconds: float) -> None:
        for _ in range(count):
            self.now += seconds
            self.state.started(self._number, f"#{self._number}", {}, 0)
            self.state.finished(self._number, "COMPLETE", {"val/loss": 1.0, "epochs": 1.0})
            self._number += 1


def test_an_even_pace_goes_on() -> None:
    trials = Trials()
    trials.end(1, 60)
    assert trials.state.seconds_left is None
    for ended in (2, 10, 50, 100):
        trials.end(ended - trials.state.ended, 60)
        assert trials.state.seconds_left == 60 * (100 - ended)


def test_trials_that_were_trained_before_make_nothing_seem_fast() -> None:
    trials = Trials()
    trials.end(30, 0.5)
    trials.end(8, 600)
    assert trials.state.seconds_left == pytest.approx(600 * 62, rel=0.6)
    trials.end(22, 600)
    assert trials.state.seconds_left == pytest.approx(600 * 40, rel=0.01)


def test_the_wait_for_a_long_trial_counts() -> None:
    trials = Trials()
    trials.end(8, 1)
    before = trials.state.seconds_left
    trials.now += 1000
    assert trials.state.seconds_left is not None and before is not None and trials.state.seconds_left > 100 * before
