"""What a search cost, told by its record: on a simulated clock, by which every attempt's time is known exactly."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from rebnn_search.execution.controller import Controller
from rebnn_search.execution.events import SearchObserver, TrialTracking
from rebnn_search.execution.simulated import RecordedReport, SimulatedClock, SimulatedExecutor
from rebnn_search.execution.task import TrialUpdate
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.study.attempts import AttemptLog, read_attempts
from rebnn_search.study.cost import Cost, cost_of
from rebnn_search.study.search import Search
from rebnn_search.training import Report
from rebnn_search.training.report_log import TrackedReport

NOW = 1_700_000_000.0
START, EACH, REPORTS = 5.0, 30.0, 4
HELD = {"workers_per_trial": 2, "cpus_per_worker": 3, "gpus_per_worker": 0.5}
CORES, GPUS = 6, 1.0
SPACE = f"""
recipe: tiny.yaml
space: {{optimizer.lr: {{log_uniform: [1e-4, 3e-2]}}}}
sampler: random
pruner: none
trials: 5
resources: {json.dumps(HELD)}
"""


class Killed(Exception):  # noqa: N818 - stands for kill -9
    """Nothing is noted any more."""


class Kills(SearchObserver):
    """Ends the driver without a word at the n-th report in all."""

    def __init__(self, at: int) -> None:
        self.left = at

    def reported(self, number: int, report: TrackedReport) -> None:
        self.left -= 1
        if self.left == 0:
            raise Killed


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimulatedClock:
    monkeypatch.setattr("os.fsync", lambda fd: None)
    found = SimulatedClock()
    monkeypatch.setattr(time, "time", lambda: NOW + found.now)
    return found


@pytest.fixture
def search(driven: Any, tmp_path: Path) -> Search:
    loaded: Search = driven.load(tmp_path, SPACE)
    return loaded


@pytest.fixture
def folder(tmp_path: Path) -> SearchFolder:
    return SearchFolder(tmp_path / "results" / "s")


def curve(params: Mapping[str, Any]) -> Sequence[RecordedReport]:
    return [RecordedReport(EACH, k / REPORTS, {"val/loss": 1.0 / k, "val/top1": 10.0 * k}) for k in range(1, REPORTS + 1)]


def run_of(clock: SimulatedClock) -> dict[str, Any]:
    return {"started": datetime.fromtimestamp(NOW + clock.now, UTC).isoformat(), "resources": HELD}


def drive(
    driven: Any, folder: SearchFolder, search: Search, clock: SimulatedClock, observer: SearchObserver, workers: int = 2
) -> Any:
    ledger = driven.begin(folder, search)
    controller = Controller(search, folder, ledger, TrialTracking(), observer)
    with SimulatedExecutor(curve, workers, clock, START) as executor:
        executor.run(controller)
    return ledger


def test_it_is_the_time_that_trials_held_their_cores(
    driven: Any, folder: SearchFolder, search: Search, clock: SimulatedClock
) -> None:
    runs = [run_of(clock)]
    ledger = drive(driven, folder, search, clock, SearchObserver())
    each = START + REPORTS * EACH
    cost = cost_of(folder, ledger.trials, runs)
    assert cost == Cost(5 * each, 5 * each * CORES, 5 * each * GPUS, [3 * each])  # five trials, two at a time
    assert cost.text() == "1.04 core-hours and 0.174 GPU-hours, in 1 run of 6 min 15 s"
    runs[0]["ended"] = datetime.fromtimestamp(NOW + clock.now + 60, UTC).isoformat()
    assert cost_of(folder, ledger.trials, runs).run_seconds == [3 * each + 60]


def test_a_kill_loses_only_what_nobody_knew(driven: Any, folder: SearchFolder, search: Search, clock: SimulatedClock) -> None:
    runs = [run_of(clock)]
    with pytest.raises(Killed):
        drive(driven, folder, search, clock, Kills(5))  # both trials have made two reports, the first one a third
    clock.now += 10_000.0
    runs.append(run_of(clock))
    ledger = drive(driven, folder, search, clock, SearchObserver())
    known = (START + 3 * EACH) + (START + 2 * EACH)
    again = (START + EACH) + (START + 2 * EACH)
    cost = cost_of(folder, ledger.trials, runs)
    assert cost.trial_seconds == known + again + 3 * (START + REPORTS * EACH)
    assert cost.core_seconds == cost.trial_seconds * CORES
    assert cost.run_seconds[0] == START + 3 * EACH and cost.run_seconds[1] < 1000.0


def test_what_a_dead_worker_had_trained_is_paid_for_too(
    driven: Any, folder: SearchFolder, search: Search, clock: SimulatedClock
) -> None:
    ledger = driven.begin(folder, search)
    controller = Controller(search, folder, ledger, TrialTracking(), SearchObserver())
    task = controller.next_task()
    clock.now += 1000.0  # it waits for room
    controller.at_work(task)
    clock.now += 40.0
    controller.update(task, TrialUpdate(Report(1, 0.25, 1, curve({})[0].metrics)))
    clock.now += 7.0
    controller.error(task, "it died")
    task = controller.next_task()
    controller.at_work(task)
    clock.now += 11.0
    controller.put_back_all()
    assert cost_of(folder, ledger.trials, []).trial_seconds == 58.0


def test_a_search_of_an_earlier_version_is_told_by_its_reports(
    driven: Any, folder: SearchFolder, search: Search, clock: SimulatedClock
) -> None:
    runs = [run_of(clock)]
    ledger = drive(driven, folder, search, clock, SearchObserver(), workers=5)
    for trial in ledger.trials:
        folder.attempts_file(trial.number).unlink()
    cost = cost_of(folder, ledger.trials, runs)
    # When they were begun is in a clock that this test does not hold: up to the first report nothing is known.
    assert cost == Cost(5 * 3 * EACH, 5 * 3 * EACH * CORES, 5 * 3 * EACH * GPUS, [START + REPORTS * EACH])


def test_a_torn_line_costs_no_other(tmp_path: Path) -> None:
    file = tmp_path / "attempts.jsonl"
    log = AttemptLog(lambda number: file, 2, 0.0)
    log.begin(0, 0, 1000)
    file.write_bytes(file.read_bytes() + b'{"ended": 15')
    again = AttemptLog(lambda number: file, 4, 0.5)
    again.begin(0, 3, 2000)
    again.begin(0, 4, 2500)  # it is at work already
    again.end(0)
    again.end(0)
    first, second = read_attempts(file)
    assert (first.began, first.ended, first.cores) == (1000, None, 2)
    assert (second.began, second.after, second.cores, second.gpus) == (2000, 3, 4, 0.5) and second.ended is not None
    assert read_attempts(tmp_path / "none") == []
