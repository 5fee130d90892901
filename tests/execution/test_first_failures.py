"""What fails the first trials ends the search where it would fail them all, and not where many at a time go on."""

from collections.abc import Mapping
from typing import Any

from rebnn_search.execution.controller import FIRST_FAILURES, Controller
from rebnn_search.execution.events import SearchObserver, TrialTracking
from rebnn_search.execution.simulated import RecordedReport, SimulatedClock, SimulatedExecutor
from rebnn_search.study.ledger import Ledger
from rebnn_search.study.search import Search
from rebnn_search.study.spec import SearchSpec

SPACE = {"x": {"uniform": [0.0, 1.0]}}


def run(diverges: float, workers: int, trials: int = 60) -> tuple[str | None, list[str]]:
    """A share of the trials diverges after two of five reports."""
    spec = SearchSpec.model_validate({"recipe": "", "space": SPACE, "trials": trials, "sampler": "random", "pruner": "none"})
    search = Search(spec, {}, [])
    ledger = Ledger(None, search)

    def curve(params: Mapping[str, Any]) -> list[RecordedReport]:
        reports = [RecordedReport(1.0, step, {"val/loss": 1.0, "val/top1": 0.0}) for step in range(1, 6)]
        return [*reports[:2], RecordedReport(0.5, 2, {}, "diverged")] if params["x"] < diverges else reports

    controller = Controller(search, None, ledger, TrialTracking(), SearchObserver())
    with SimulatedExecutor(curve, workers, SimulatedClock()) as executor:
        executor.run(controller)
    return controller.abort_reason, [trial.state.name for trial in ledger.trials]


def test_what_fails_all_ends_the_search() -> None:
    for workers in (1, 2, 20):
        reason, states = run(1.0, workers)
        assert reason is not None and "trials all failed" in reason
        assert states.count("FAIL") == max(FIRST_FAILURES, workers - 1)


def test_of_many_at_a_time_those_that_diverge_end_first() -> None:
    reason, states = run(0.3, 40)
    assert reason is None
    assert states.count("FAIL") + states.count("COMPLETE") == 60 and states.count("FAIL") > FIRST_FAILURES
