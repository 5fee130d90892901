"""Workers that train what is known beforehand, die, stall, say things twice, and are heard late."""

from __future__ import annotations

import hashlib
import json
import math
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

from rebnn_search.base.files import write_atomically
from rebnn_search.execution.controller import Controller
from rebnn_search.execution.task import Decision, TrialTask, TrialUpdate
from rebnn_search.storage.locate import checkpoints_of
from rebnn_search.training import Report
from support.simulation.kernel import Kernel

REPORTS = 3
"""Of every trial."""
SECONDS = 2.0
"""Between two reports."""
DIVERGED = 3.15
"""A trial whose second loss would be as much fails then."""


def loss(params: Mapping[str, Any], step: int) -> float:
    """The loss at a report: a function of configuration and step alone."""
    noise = int.from_bytes(hashlib.sha256(json.dumps(sorted(params.items())).encode()).digest()[:4], "little") / 2**32
    return abs(math.log10(params["optimizer.lr"]) + 2.5) + 2 * noise + 1.0 / step


def diverges(params: Mapping[str, Any], step: int) -> bool:
    """Whether a trial fails in place of a report."""
    return step >= 2 and loss(params, 2) >= DIVERGED


def metrics(params: Mapping[str, Any], step: int) -> dict[str, float]:
    """The metrics of a report."""
    value = loss(params, step)
    return {"train/loss": value, "val/loss": value, "val/top1": 100 / value, "val/top5": 100.0}


class Moods(Protocol):
    """What workers do besides training."""

    def mood(self, number: int, attempt: int, step: int) -> str | None:
        """Of a worker about to report: ``die`` before it, ``stall``, ``twice``, ``late`` (it is taken for dead, and heard after
        another has begun), ``checkpoint`` before it reports, ``dying`` after that; None for nothing.
        """

    def sooner(self, count: int) -> int:
        """Which of so many that are due at the same moment is heard first."""


@dataclass
class _Held:
    task: TrialTask
    step: int
    """The next report it makes."""
    due: float


class Workers:
    """An executor of simulated workers.

    Args:
        kernel: Of the simulation.
        moods: What they do.
        slots: Trials at a time.
        problems: Where what must not be is noted.
    """

    def __init__(self, kernel: Kernel, moods: Moods, slots: int, problems: list[str]) -> None:
        self._kernel, self._moods, self._slots, self._problems = kernel, moods, slots, problems
        self._held: list[_Held] = []
        self._late: list[tuple[float, TrialTask, int]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Hold nothing."""

    def run(self, controller: Controller) -> None:
        """As `rebnn_search.execution.executor.Executor` has it."""
        while True:
            while len(self._held) < self._slots and not controller.exhausted:
                self._begin(controller, controller.next_task())
            if not self._held or controller.ending:
                break
            due = min(held.due for held in self._held)
            if self._late and self._late[0][0] <= due:
                _, task, step = self._late.pop(0)
                if controller.update(task, self._update(task, step)) is not Decision.STOP:
                    self._problems.append(
                        f"a report of attempt {task.attempt} of trial {task.number} was heeded after the next"
                    )
                continue
            if due > self._kernel.now:
                self._kernel.sleep(due - self._kernel.now)
            first = [held for held in self._held if held.due <= due]
            self._report(controller, first[self._moods.sooner(len(first))])
        for held in self._held:
            controller.put_back(held.task)
        self._held.clear()

    def _begin(self, controller: Controller, task: TrialTask) -> None:
        """Take up a task where its last checkpoint is."""
        try:
            found = checkpoints_of(task.open_folder(), task.number).latest()
        except OSError:  # the store is away
            self._held.append(_Held(task, 0, self._kernel.now + SECONDS))
            return
        step = 0
        if found is not None:
            step, state = found
            if state["params"] != dict(task.params):
                self._problems.append(f"trial {task.number} goes on from the checkpoint of another configuration")
        # What it makes again up to there takes its time and is no news; what the checkpoint is ahead is known at once.
        again = max(0, task.last_step - step)
        step = min(task.last_step + 1, REPORTS)
        self._held.append(_Held(task, step, self._kernel.now + SECONDS * (again + 1)))

    def _update(self, task: TrialTask, step: int) -> TrialUpdate:
        if diverges(task.params, step):
            return TrialUpdate(failed="diverged: the loss is no number")
        return TrialUpdate(Report(step, step / REPORTS, step, metrics(task.params, step)), step == REPORTS)

    def _report(self, controller: Controller, held: _Held) -> None:
        task, mood = held.task, self._moods.mood(held.task.number, held.task.attempt, held.step)
        if held.step == 0:
            self._held.remove(held)
            controller.error(task, "a worker could not begin")
            return
        if mood == "stall":
            held.due += 50.0
            return
        if mood in ("checkpoint", "dying"):
            try:
                checkpoints_of(task.open_folder(), task.number).save(held.step, {"params": dict(task.params)})
            except OSError:
                trace = traceback.format_exc()
                with suppress(OSError):
                    write_atomically(task.open_folder().trial(task.number) / "error.txt", trace)
                self._held.remove(held)
                controller.error(task, trace)
                return
        if mood in ("die", "dying", "late"):
            self._held.remove(held)
            controller.error(task, f"a worker died before report {held.step}")
            if mood == "late":
                self._late.append((self._kernel.now + 0.5 * SECONDS, task, held.step))
            return
        update = self._update(task, held.step)
        for _ in range(2 if mood == "twice" else 1):
            decision = controller.update(task, update)
        if decision is Decision.CONTINUE:
            held.step, held.due = held.step + 1, held.due + SECONDS
        else:
            self._held.remove(held)

    def call(self, function: Callable[[], Any]) -> Any:
        """The test accuracy and the packed network of a trial, which `rebnn_search.execution.publish` asks for."""
        number = function.args[1]  # type: ignore[attr-defined]
        return {"top1": 50.0 + number, "top5": 90.0}, b"a network"
