"""Trains trials in this process, one after another: for estimators, and for whoever wants a search without Ray."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from contextlib import closing
from types import TracebackType
from typing import Self, TypeVar

from rebnn_search.config import UserError
from rebnn_search.execution.controller import Controller
from rebnn_search.execution.task import Decision, TrialTask, TrialUpdate
from rebnn_search.execution.trial_training import begin_run, failure, recipe_of
from rebnn_search.training import Diverged, TrainingRun
from rebnn_search.training.data.facts import DataFacts

T = TypeVar("T")

Start = Callable[[TrialTask], TrainingRun]
"""Brings a task's training to where it was."""


def from_folder(task: TrialTask) -> TrainingRun:
    """The training of a task in its search's folder."""
    return begin_run(task, task.open_folder(), recipe_of(task))


class SerialExecutor:
    """An executor with room for one trial.

    Args:
        start: Makes the training of a task.
        raises: Whether what a trial raises goes to the caller, unless it diverged; else it fails the trial, or is tried again.
    """

    def __init__(self, start: Start = from_folder, *, raises: bool = False) -> None:
        self._start, self._raises = start, raises

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Hold nothing."""

    def run(self, controller: Controller) -> None:
        """Train one trial after another."""
        while not controller.exhausted:
            self._train(controller, controller.next_task())

    def _train(self, controller: Controller, task: TrialTask) -> None:
        run = self._tried(controller, task, lambda: self._start(task))
        if run is None:
            return
        with closing(run):
            known = run.since(task.last_step)
            facts: DataFacts | None = run.trainer.facts
            while report := self._tried(controller, task, lambda: known.pop(0) if known else run.next_report()):
                decision = controller.update(task, TrialUpdate(report, report.step == run.trainer.total_reports, data=facts))
                facts = None
                if decision is Decision.CONTINUE and controller.ending:
                    controller.put_back(task)
                    decision = Decision.STOP
                if decision is not Decision.CONTINUE:
                    self._tried(controller, task, run.save)
                    return

    def _tried(self, controller: Controller, task: TrialTask, step: Callable[[], T]) -> T | None:
        """What a step of a trial's training returns; None where it failed, which the controller is then told."""
        try:
            return step()
        except (Diverged, UserError) as error:
            if self._raises and isinstance(error, UserError):
                raise
            told: str | TrialUpdate = failure(error)
        except Exception:
            if self._raises:
                raise
            told = traceback.format_exc()
        # Out here, for what the controller raises is no failure of the trial.
        if isinstance(told, str):
            controller.error(task, told)
        else:
            controller.update(task, told)
        return None

    def call(self, function: Callable[[], T]) -> T:
        """Run a function here."""
        return function()
