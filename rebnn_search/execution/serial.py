"""Trains trials in this process, one after another: for estimators, and for whoever wants a search without Ray."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeVar

from rebnn_search.config import UserError
from rebnn_search.execution.controller import Controller
from rebnn_search.execution.task import Decision, TrialTask, TrialUpdate
from rebnn_search.execution.trial_training import begin_run, failure, recipe_of
from rebnn_search.training import Diverged, TrainingRun

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
        run: TrainingRun | None = None
        try:
            run = self._start(task)
            reports = run.since(task.last_step)
            while True:
                report = reports.pop(0) if reports else run.next_report()
                decision = controller.update(task, TrialUpdate(report, report.step == run.trainer.total_reports))
                if decision is not Decision.CONTINUE:
                    break
                if controller.ending:
                    controller.put_back(task)
                    break
            run.save()
        except (Diverged, UserError) as error:
            if self._raises and isinstance(error, UserError):
                raise
            controller.update(task, failure(error))
        except Exception:
            if self._raises:
                raise
            controller.error(task, traceback.format_exc())
        finally:
            if run is not None:
                run.close()

    def call(self, function: Callable[[], T]) -> T:
        """Run a function here."""
        return function()
