"""Trials that wait while a time budget runs out."""

import pytest

from rebnn_search.execution.budget import Budget
from rebnn_search.execution.controller import Controller
from rebnn_search.execution.events import SearchObserver, TrialTracking
from rebnn_search.execution.simulated import SimulatedClock, SimulatedExecutor
from rebnn_search.study.ledger import Ledger
from rebnn_search.testing.pause_rule import REPORTS, curve, simulated_search


class Simulated(Budget):
    """A budget by the simulated clock: a report takes a second."""

    def __init__(self, seconds: float, clock: SimulatedClock) -> None:
        super().__init__(seconds)
        self._clock = clock

    @property
    def spent(self) -> float:
        return self._clock.now


@pytest.mark.parametrize("seconds", [80, 200])
def test_what_waits_is_trained_to_its_end_in_time(seconds: int) -> None:
    with simulated_search("trials=1000", "pruner={name: promotion, startup_trials: 500}") as (search, _):
        clock = SimulatedClock()
        ledger, budget = Ledger(None, search), Simulated(seconds, clock)
        controller = Controller(search, None, ledger, TrialTracking(), SearchObserver(), budget)
        with SimulatedExecutor(curve, 1, clock) as executor:
            executor.run(controller)
    assert seconds - 5 <= clock.now <= seconds + 1  # all of the time was used
    complete = [trial for trial in ledger.trials if trial.state.name == "COMPLETE"]
    looked = sorted(trial.intermediate_values[1] for trial in ledger.trials if trial.intermediate_values)
    assert len(complete) >= 1
    assert min(trial.intermediate_values[1] for trial in complete) in looked[:3]
    assert all(len(trial.intermediate_values) == REPORTS for trial in complete)
