"""What becomes of a trial that has ended."""

from collections.abc import Mapping
from typing import cast

from ray.tune.experiment import Trial

from rebnn_search.execution.controller import FIRST_FAILURES, Controller
from rebnn_search.execution.events import SearchObserver, TrialTracking
from rebnn_search.execution.ray.adapters import TrialCallback
from rebnn_search.execution.ray.trainable import UPDATE
from rebnn_search.execution.simulated import SimulatedClock, SimulatedExecutor
from rebnn_search.study.ledger import Ledger
from rebnn_search.testing.pause_rule import curve, simulated_search


def test_its_last_result_and_the_averages_of_tune_s_own_metrics_are_let_go() -> None:
    trial = Trial("RecipeTrial", stub=True)
    for iteration in (1, 2):
        trial.update_last_result(
            {"trial_id": trial.trial_id, "done": iteration == 2, "training_iteration": iteration, UPDATE: object()}
        )
    assert trial.metric_analysis and trial.metric_n_steps
    TrialCallback(cast("Controller", None)).on_trial_complete(2, [trial], trial)
    assert not trial.metric_analysis and not trial.metric_n_steps
    assert trial.last_result == {"trial_id": trial.trial_id, "done": True}


class Told(SearchObserver):
    def __init__(self) -> None:
        self.ends: list[tuple[str, str | None]] = []

    def finished(self, number: int, state: str, reason: str | None, summary: Mapping[str, float]) -> None:
        self.ends.append((state, reason))


def test_observers_are_told_what_the_record_says() -> None:
    """A trial trained to its end whose last report lacks what a constraint is about has failed, and so have all."""
    with simulated_search("trials=20", "constraints={bytes: '<= 1e9'}") as (search, _):
        ledger, told = Ledger(None, search), Told()
        controller = Controller(search, None, ledger, TrialTracking(), told)
        with SimulatedExecutor(curve, 1, SimulatedClock()) as executor:
            executor.run(controller)
    assert told.ends == [("FAIL", "its last report has no bytes")] * FIRST_FAILURES
    assert [trial.state.name for trial in ledger.trials] == ["FAIL"] * FIRST_FAILURES
    assert controller.abort_reason is not None and controller.abort_reason.endswith("its last report has no bytes")
