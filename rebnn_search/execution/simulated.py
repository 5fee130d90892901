"""Replays recorded curves on any number of workers and a clock of its own: a search in a thousandth of its time."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeVar

from rebnn_search.execution.controller import Controller
from rebnn_search.execution.task import Decision, TrialTask, TrialUpdate
from rebnn_search.study.space import Value
from rebnn_search.training import Report

T = TypeVar("T")


@dataclass(frozen=True)
class RecordedReport:
    """One report of a recorded training.

    Attributes:
        seconds: Since the report before, or the start.
        epoch: Epochs trained, with fraction.
        metrics: As `rebnn_search.training.Report` has them.
        failed: Why training ended here without a report, if it did: such an entry is a curve's last.
    """

    seconds: float
    epoch: float
    metrics: Mapping[str, float]
    failed: str | None = None


Curves = Callable[[Mapping[str, Value]], Sequence[RecordedReport]]
"""The recorded training of a configuration, to its end."""


class SimulatedClock:
    """Seconds since the simulation began; it moves when somebody moves it."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """The time now."""
        return self.now


@dataclass(frozen=True, order=True)
class _Event:
    """The next report of a task falls due. Of two at one moment the task handed out first goes first."""

    when: float
    order: int
    step: int


class SimulatedExecutor:
    """An executor of so many workers that train what was trained before.

    The outcome is a function of curves, workers and the controller's sampler and pruner alone.

    Args:
        curves: The recorded trainings.
        workers: Trials at a time.
        clock: Moved on to each event.
        start_seconds: What a worker takes to take up a task.
    """

    def __init__(self, curves: Curves, workers: int, clock: SimulatedClock, start_seconds: float = 0.0) -> None:
        self._curves, self._workers, self.clock, self._start_seconds = curves, workers, clock, start_seconds
        self.trained_seconds = 0.0
        """Workers' seconds in which something was trained."""
        self._events: list[_Event] = []
        self._held: dict[int, tuple[TrialTask, Sequence[RecordedReport]]] = {}
        self._handed_out = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Hold nothing."""

    def run(self, controller: Controller) -> None:
        """Hand out tasks to idle workers and deliver each report at its time, until none is left or the controller is ending."""
        self._fill(controller)
        while self._events and not controller.ending:
            event = heapq.heappop(self._events)
            self.clock.now = max(self.clock.now, event.when)
            self._deliver(controller, event)
            self._fill(controller)
        for task, _ in self._held.values():
            controller.put_back(task)
        self._events.clear()
        self._held.clear()

    def _fill(self, controller: Controller) -> None:
        while len(self._held) < self._workers and not controller.exhausted:
            task = controller.next_task()
            order, self._handed_out = self._handed_out, self._handed_out + 1
            self._held[order] = task, self._curves(task.params)
            self._schedule(order, task.last_step + 1, self._start_seconds)

    def _schedule(self, order: int, step: int, more: float = 0.0) -> None:
        _, curve = self._held[order]
        # A trial that came to its end before its driver died has nothing left to train: its last report is reported again.
        step = min(step, len(curve))
        heapq.heappush(self._events, _Event(self.clock.now + more + curve[step - 1].seconds, order, step))

    def _deliver(self, controller: Controller, event: _Event) -> None:
        task, curve = self._held[event.order]
        recorded = curve[event.step - 1]
        self.trained_seconds += recorded.seconds
        if recorded.failed is not None:
            update = TrialUpdate(failed=recorded.failed)
        else:
            update = TrialUpdate(Report(event.step, recorded.epoch, 0, recorded.metrics), event.step == len(curve))
        decision = controller.update(task, update)
        if decision is Decision.CONTINUE:
            self._schedule(event.order, event.step + 1)
        else:
            del self._held[event.order]

    def call(self, function: Callable[[], T]) -> T:
        """Run a function here, in no time."""
        return function()
