"""One trial inside a Ray actor: the shared training run, a report a step."""

from __future__ import annotations

import traceback
from collections import deque
from contextlib import suppress
from typing import Any

from ray import tune

from rebnn_search.base.files import write_atomically
from rebnn_search.config import UserError
from rebnn_search.execution.ray.peers import Peers
from rebnn_search.execution.ray.workers import Rank
from rebnn_search.execution.task import TrialTask, TrialUpdate
from rebnn_search.execution.trial_training import failure
from rebnn_search.training import Diverged, Report
from rebnn_search.training.data.facts import DataFacts
from rebnn_search.training.memory import explain_memory_errors

TASK, UPDATE = "task", "update"
"""Keys of the `TrialTask` in Tune's configuration of a trial, and of the `TrialUpdate` in its results."""


class RecipeTrial(tune.Trainable):
    """Trains a task, alone or as rank 0 of several. The actor serves one task after another; nothing of one reaches the next."""

    _rank: Rank | None = None
    _peers: Peers | None = None

    def setup(self, config: dict[str, Any]) -> None:
        """Take up a task; training begins, or goes on from its newest checkpoint, with the first step."""
        self._peers = self._peers or Peers()
        self._task: TrialTask = config[TASK]
        self._unheard: deque[Report] = deque()
        self._facts: DataFacts | None = None

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Put the last task away and take up another in the same process."""
        self._close()
        self.setup(new_config)
        return True

    def step(self) -> dict[str, object]:
        """Train up to the next report."""
        try:
            with explain_memory_errors("this trial"):
                rank = self._rank or self._begin()
                report = self._unheard.popleft() if self._unheard else self._next_report(rank)
        except (Diverged, UserError) as error:
            return {UPDATE: failure(error), "done": True}
        except Exception:
            trace = traceback.format_exc()
            with suppress(OSError):  # the disk may be what failed
                write_atomically(self._task.open_folder().trace_file(self._task.number), trace)
            raise
        final = report.step == rank.run.trainer.total_reports
        facts, self._facts = self._facts, None
        return {UPDATE: TrialUpdate(report, final, data=facts), "done": final}

    def _begin(self) -> Rank:
        assert self._peers is not None
        self._rank = self._peers.begin(self._task)
        self._facts = self._rank.run.trainer.facts
        self._unheard.extend(self._rank.run.since(self._task.last_step))
        return self._rank

    def _next_report(self, rank: Rank) -> Report:
        assert self._peers is not None
        return self._peers.next_report(self._task, rank)

    def cleanup(self) -> None:
        """End with the actor, perhaps in the middle of a task."""
        self._close()
        if self._peers is not None:
            self._peers.kill()

    def _close(self) -> None:
        leaving = [] if self._peers is None else self._peers.leave()
        if self._rank is not None:
            self._rank.close()
        self._rank = None
        if self._peers is not None:
            self._peers.ended(leaving)
