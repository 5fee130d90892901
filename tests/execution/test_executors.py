"""One suite for every executor: whoever trains the trials, the ledger ends the same to the bit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from optuna.exceptions import StorageInternalError

from rebnn_search.execution.controller import Controller
from rebnn_search.execution.events import SearchObserver, TrialTracking
from rebnn_search.execution.executor import Executor
from rebnn_search.execution.serial import SerialExecutor
from rebnn_search.execution.simulated import RecordedReport, SimulatedClock, SimulatedExecutor
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.study.ledger import Ledger
from rebnn_search.study.load import load_search
from rebnn_search.study.pausing import PauseRule
from rebnn_search.study.search import Search
from rebnn_search.training.report_log import read_reports

RECIPE = """
data: {name: digits}
network: {name: mlp, width: 8, depth: 1}
optimizer: {name: adam, lr: 1e-2}
epochs: 2
batch_size: 256
reports_per_epoch: 2
"""
SPACE = """
recipe: recipe.yaml
space:
  gamma.strategy: {choice: [flip_ratio, constant]}
  gamma.value: {choice: [0.0, 1e-4], when: {gamma.strategy: constant}}
  optimizer.lr: {log_uniform: [1e-4, 1e-1]}
sampler: {name: tpe, n_startup_trials: 3}
pruner: {name: median, n_startup_trials: 2, n_warmup_steps: 1}
trials: 6
resources: {max_concurrent: 1}
"""
REPORTS = 4
Sequence_ = list[tuple[Any, ...]]
Recorded = dict[str, list[RecordedReport]]


class Stops(SearchObserver):
    """Stops the search at the n-th report in all."""

    def __init__(self, after: int | None = None) -> None:
        self.after, self.stop, self.seen = after, lambda: None, 0
        self.steps: dict[int, list[int]] = {}
        self.waited: list[int] = []

    def reported(self, number: int, report: Any) -> None:
        self.steps.setdefault(number, []).append(report.step)
        self.seen += 1
        if self.seen == self.after:
            self.stop()

    def paused(self, number: int) -> None:
        self.waited.append(number)


class AfterTwo(PauseRule):
    """Every trial waits after its second report, until all have been asked for; then the best goes first."""

    def pauses(self, ledger: Ledger, number: int) -> bool:
        return ledger.reports(number).last_step == 2

    def continues(self, ledger: Ledger, paused: Sequence[int], left: int) -> int | None:
        if left:
            return None
        return min(paused, key=lambda number: ledger.reports(number).reports[-1].metrics["val/loss"])


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Search:
    folder = tmp_path_factory.mktemp("files")
    (folder / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    (folder / "space.yaml").write_text(SPACE, encoding="utf-8")
    return load_search(folder / "space.yaml")


@pytest.fixture(scope="module")
def unpruned(search: Search) -> Search:
    data = search.spec.model_copy(update={"pruner": load_pruner("none")})
    return Search(data, search.base, search.fixed)


def load_pruner(name: str) -> Any:
    from rebnn_search.config import Component
    from rebnn_search.study.pruners import PRUNERS

    return Component("name", name, {}, PRUNERS[name])


def drive(
    search: Search, path: Path, make: Callable[[SearchFolder], Executor], observer: Stops, pauses: PauseRule | None = None
) -> Sequence_:
    """Run a search, or go on with it. Returns what the ledger has of every trial."""
    path.mkdir(exist_ok=True)
    folder = SearchFolder(path)
    ledger = Ledger(folder, search)
    folder.write_search("space.yaml", search.dump(), None, ledger.search_id)
    tracker = TrialTracking()
    controller = Controller(search, folder, ledger, tracker, observer, pauses=pauses)
    observer.stop = controller.stop
    with make(folder) as executor:
        executor.run(controller)
        if not controller.ending:
            controller.give_up_paused()
        assert executor.call(len_of_three) == 3
    assert controller.live == 0
    return [(t.number, t.state.name, t.params, t.value, t.intermediate_values) for t in ledger.trials]


def len_of_three() -> int:
    return len("abc")


@pytest.fixture(scope="module")
def recorded() -> Recorded:
    """The curves of every configuration that the search asks for, trained to their end: filled by `alone`."""
    return {}


def key(params: Mapping[str, Any]) -> str:
    return repr(sorted(params.items()))


@pytest.fixture(scope="module")
def alone(search: Search, unpruned: Search, recorded: Recorded, tmp_path_factory: pytest.TempPathFactory) -> Sequence_:
    """The search left alone, trained here; what it asks for is recorded to its end on the way."""
    path = tmp_path_factory.mktemp("alone")
    found = drive(search, path, lambda folder: SerialExecutor(), Stops())
    from rebnn_search.training import Trainer

    for _, _, params, _, _ in found:
        trainer, reports, last = Trainer(unpruned.recipe(params)), [], 0.0
        while not trainer.finished:
            report = trainer.next_report()
            reports.append(RecordedReport(report.epoch - last, report.epoch, report.metrics))
            last = report.epoch
        recorded[key(params)] = reports
        trainer.close()
    return found


ON_RAY = pytest.param("ray", marks=pytest.mark.slow(minutes=0.5))


@pytest.fixture
def make(request: pytest.FixtureRequest, search: Search, recorded: Recorded) -> Callable[..., Executor]:
    if request.param == "serial":
        return lambda folder: SerialExecutor()
    if request.param == "simulated":
        return lambda folder: SimulatedExecutor(lambda params: recorded[key(params)], 1, SimulatedClock(), 0.5)
    request.getfixturevalue("ray_here")
    from rebnn_search.execution.ray.executor import RayExecutor

    return lambda folder: RayExecutor(folder, search.spec.resources)


@pytest.mark.parametrize("make", ["serial", "simulated", ON_RAY], indirect=True)
def test_the_ledger_is_the_one_of_a_search_left_alone(
    alone: Sequence_, search: Search, make: Callable[..., Executor], tmp_path: Path
) -> None:
    states = [state for _, state, *_ in alone]
    assert "PRUNED" in states and "COMPLETE" in states
    observer = Stops()
    assert drive(search, tmp_path / "s", make, observer) == alone
    assert all(steps == list(range(1, len(steps) + 1)) for steps in observer.steps.values())


@pytest.mark.parametrize("after", [1, 6])
@pytest.mark.parametrize("make", ["serial", "simulated", ON_RAY], indirect=True)
def test_stopped_and_gone_on_with_it_is_the_same(
    alone: Sequence_, search: Search, make: Callable[..., Executor], tmp_path: Path, after: int
) -> None:
    stopped = drive(search, tmp_path / "s", make, Stops(after))
    assert stopped[-1][1] == "RUNNING" and len(stopped) <= len(alone)
    observer = Stops()
    assert drive(search, tmp_path / "s", make, observer) == alone
    assert all(len(set(steps)) == len(steps) for steps in observer.steps.values())


def test_paused_trials_go_on_where_they_were(alone: Sequence_, unpruned: Search, recorded: Recorded, tmp_path: Path) -> None:
    whole = drive(unpruned, tmp_path / "whole", lambda folder: SerialExecutor(), Stops())
    first = Stops(9)  # in the middle of the fifth trial, four waiting
    stopped = drive(unpruned, tmp_path / "s", lambda folder: SerialExecutor(), first, AfterTwo())
    assert first.waited == [0, 1, 2, 3] and [t[1] for t in stopped] == ["RUNNING"] * 5
    second = Stops()
    done = drive(unpruned, tmp_path / "s", lambda folder: SerialExecutor(), second, AfterTwo())
    assert second.waited == [4, 5]
    assert [t[1] for t in done] == ["COMPLETE"] * 6
    curves = {key(params): values for _, _, params, _, values in done}
    for _, _, params, _, values in whole:
        if key(params) in curves:  # what the sampler saw when it chose differs, so later trials may
            assert curves[key(params)] == values
    assert done[:3] == whole[:3]
    for number in range(6):
        log = read_reports(SearchFolder(tmp_path / "s").trial(number) / "reports.jsonl")
        assert [report.step for report in log] == [1, 2, 3, 4]


def test_a_paused_trial_that_nobody_takes_up_is_pruned(unpruned: Search, tmp_path: Path) -> None:
    class ForGood(AfterTwo):
        def continues(self, ledger: Ledger, paused: Sequence[int], left: int) -> int | None:
            return None

    done = drive(unpruned, tmp_path / "s", lambda folder: SerialExecutor(), Stops(), ForGood())
    assert [t[1] for t in done] == ["PRUNED"] * 6
    assert all(max(t[4]) == 2 for t in done)


def test_many_workers_share_simulated_time(unpruned: Search, tmp_path: Path) -> None:
    curve = [RecordedReport(10.0, 0.5 * step, {"val/loss": 1.0, "val/top1": 50.0}) for step in range(1, REPORTS + 1)]
    clock = SimulatedClock()
    spec = unpruned.spec.model_copy(update={"trials": 30})
    many = Search(spec, unpruned.base, unpruned.fixed)
    done = drive(many, tmp_path / "s", lambda folder: SimulatedExecutor(lambda params: curve, 10, clock), Stops())
    assert len(done) == 30 and {t[1] for t in done} == {"COMPLETE"}
    assert clock.now == 3 * 4 * 10.0  # thirty trials of forty seconds, ten at a time


@pytest.mark.slow(minutes=1.5)
def test_promotion_on_ray_is_what_it_is_here_also_when_stopped(unpruned: Search, ray_here: str, tmp_path: Path) -> None:
    from rebnn_search.config import Component
    from rebnn_search.execution.ray.executor import RayExecutor
    from rebnn_search.study.pruners import PRUNERS

    options = {"startup_trials": 2, "every": 4, "second_look": 2, "second_looks": 2}
    promotion = Component("name", "promotion", options, PRUNERS["promotion"])
    search = Search(unpruned.spec.model_copy(update={"pruner": promotion}), unpruned.base, unpruned.fixed)
    here = drive(search, tmp_path / "here", lambda folder: SerialExecutor(), Stops())
    assert {len(t[4]) for t in here} == {1, 2, 4} and {t[1] for t in here} == {"COMPLETE", "PRUNED"}

    def on_ray(folder: SearchFolder) -> Executor:
        return RayExecutor(folder, search.spec.resources)

    first, second = Stops(7), Stops()
    drive(search, tmp_path / "there", on_ray, first)
    assert drive(search, tmp_path / "there", on_ray, second) == here
    for number, steps in second.steps.items():
        assert not set(steps) & set(first.steps.get(number, ()))


def test_what_the_record_cannot_take_is_no_failure_of_the_trial(
    unpruned: Search, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told as one, the trial would be tried again, and the report that was not recorded be passed over."""

    def locked(ledger: Ledger, number: int, report: Any) -> None:
        raise StorageInternalError("database is locked")

    monkeypatch.setattr(Ledger, "_report_to_study", locked)
    told = Stops()
    with pytest.raises(StorageInternalError, match="database is locked"):
        drive(unpruned, tmp_path / "s", lambda folder: SerialExecutor(), told)
    monkeypatch.undo()
    ended = drive(unpruned, tmp_path / "s", lambda folder: SerialExecutor(), told)
    assert {(state, len(reports)) for _, state, _, _, reports in ended} == {("COMPLETE", REPORTS)}
