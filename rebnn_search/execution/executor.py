"""Who trains the trials: Ray Tune's actors, this process, or a simulation on recorded curves.

An executor asks the `Controller` for tasks while it has room and passes on what they report; the controller alone knows ledger,
sampler, pruner and budget. The call goes this way round because Tune's loop is Tune's own: a searcher and a scheduler are asked.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

from rebnn_search.execution.controller import Controller

T = TypeVar("T")


class Executor(AbstractContextManager["Executor"], Protocol):
    """Trains trials while it is entered.

    What every implementation keeps to (``tests/execution/test_executors.py`` holds each to it):

    - `Controller.next_task` is called only while `Controller.exhausted` is false, and a task is trained until an update's decision is
      STOP or PAUSE, or the controller is `Controller.ending`.
    - The updates of one task come in the order of its reports, the first after ``last_step``. Between tasks any order is possible.
    - Where a task may wait for room after it was handed out, `Controller.at_work` says when a worker has it.
    - A task that ends in any other way than by a decision is reported by `Controller.error`, or given back by `Controller.put_back`.
    - A task that is paused, or given back, leaves a checkpoint of all it reported.
    """

    def run(self, controller: Controller) -> None:
        """Run trials until none is left to hand out and none is held, or the controller is ending."""

    def call(self, function: Callable[[], T]) -> T:
        """Run a function where a trial could run: it may need as many cores and GPUs."""
