"""What a pruner keeps to that pauses trials in place of ending them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from rebnn_search.base.metrics import TRAIN_LOSS, VAL_LOSS, VAL_TOP1, VAL_TOP5
from rebnn_search.execution.controller import Controller
from rebnn_search.execution.events import SearchObserver, TrialTracking
from rebnn_search.execution.simulated import RecordedReport, SimulatedClock, SimulatedExecutor
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.study.ledger import Ledger
from rebnn_search.study.load import load_search
from rebnn_search.study.pausing import PauseRule
from rebnn_search.study.search import Search
from rebnn_search.training.report_log import TrackedReport

Make = Callable[[], PauseRule]

REPORTS = 16
"""Of every trial."""
RECIPE = (
    "{data: {name: digits}, network: {name: mlp, width: 8}, optimizer: {name: adam, lr: 1e-2}, epochs: 8, reports_per_epoch: 2}"
)
SPACE = """
recipe: recipe.yaml
space: {optimizer.lr: {log_uniform: [1e-4, 1e-1]}}
sampler: {name: tpe, n_startup_trials: 5}
pruner: none
trials: 20
"""


class Ended(NamedTuple):
    """What the ledger has of a trial."""

    number: int
    state: str
    params: Mapping[str, Any]
    value: float | None
    reports: Mapping[int, float]


def _nothing() -> None: ...


class Stops(SearchObserver):
    """Watches a search, and stops it at the n-th report."""

    def __init__(self, after: int = 0) -> None:
        self._left = after
        self.stop: Callable[[], None] = _nothing

    def reported(self, number: int, report: TrackedReport) -> None:
        """Count."""
        self._left -= 1
        if self._left == 0:
            self.stop()


def away(params: Mapping[str, Any]) -> float:
    """How far a learning rate is from the best one, in powers of ten."""
    return abs(math.log10(params["optimizer.lr"]) + 2)


def curve(params: Mapping[str, Any]) -> list[RecordedReport]:
    """The nearer the learning rate to 10^-2, the lower the loss, at every report."""
    losses = [(1 + away(params)) * (0.5 + 0.5 * 0.8**step) for step in range(1, REPORTS + 1)]
    return [RecordedReport(1.0, step / 2, _metrics(loss)) for step, loss in enumerate(losses, start=1)]


def _metrics(loss: float) -> dict[str, float]:
    return {TRAIN_LOSS: loss, VAL_LOSS: loss, VAL_TOP1: 100 / (1 + loss), VAL_TOP5: 100.0, "flip_ratio": 0.0, "lr": 1e-2}


@contextmanager
def simulated_search(*overrides: str) -> Iterator[tuple[Search, Path]]:
    """A search of one learning rate, and an empty folder for as long as the body runs."""
    with TemporaryDirectory() as folder:
        path = Path(folder)
        (path / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
        (path / "space.yaml").write_text(SPACE, encoding="utf-8")
        yield load_search(path / "space.yaml", overrides), path


def drive(search: Search, path: Path, rule: PauseRule | None = None, *, workers: int = 1, stop_after: int = 0) -> list[Ended]:
    """Run a search on `curve`, or go on with the one in a folder.

    Args:
        search: The search.
        path: Its folder, made if need be.
        rule: Who waits; by default what the search's pruner says.
        workers: Trials at a time.
        stop_after: Reports after which it is stopped; 0: never.
    """
    path.mkdir(exist_ok=True)
    folder, observer = SearchFolder(path), Stops(stop_after)
    ledger = Ledger(folder, search)
    folder.write_search("space.yaml", search.dump(), None, ledger.search_id)
    controller = Controller(search, folder, ledger, TrialTracking(), observer, pauses=rule)
    observer.stop = controller.stop
    with SimulatedExecutor(curve, workers, SimulatedClock()) as executor:
        executor.run(controller)
    if not controller.ending:
        controller.give_up_paused()
    return [
        Ended(t.number, t.state.name, t.params, t.values[0] if t.values else None, t.intermediate_values) for t in ledger.trials
    ]


def trains_something_to_its_end(make: Make) -> None:
    """Or a search would end without a result; with many workers too."""
    for workers in (1, 5):
        with simulated_search() as (search, path):
            states = {trial.state for trial in drive(search, path / "s", make(), workers=workers)}
            assert "COMPLETE" in states and states <= {"COMPLETE", "PRUNED"}, f"with {workers} workers the trials end {states}"


def is_a_function_of_the_ledger(make: Make) -> None:
    """A rule keeps nothing, so that a search stopped after any report goes on as if it had not been."""
    with simulated_search("trials=10") as (search, path):
        whole = drive(search, path / "whole", make())
        reports = sum(len(trial.reports) for trial in whole)
        for after in range(1, reports, 5):
            drive(search, path / f"{after}", make(), stop_after=after)
            assert drive(search, path / f"{after}", make()) == whole, f"other trials when stopped after report {after}"


PAUSE_RULE_CHECKS = (trains_something_to_its_end, is_a_function_of_the_ledger)
"""For anything that makes a pause rule: its class, where its options have defaults."""
