"""What happens at each event of a search, in the order that no crash can spoil: reports file, ledger, tracking, display."""

from __future__ import annotations

import bisect
import os
from collections import Counter, deque
from contextlib import suppress
from pathlib import Path

from optuna.trial import TrialState

from rebnn_search.base.errors import NO_ROOM, ROOM
from rebnn_search.base.files import write_atomically
from rebnn_search.execution.budget import Budget
from rebnn_search.execution.data_seen import DataSeen
from rebnn_search.execution.events import SearchObserver, TrialTracking
from rebnn_search.execution.task import Decision, TrialTask, TrialUpdate
from rebnn_search.execution.trial_recipe import write_trial_recipe
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.study.attempts import AttemptLog, now
from rebnn_search.study.attributes import REASON, SUMMARY
from rebnn_search.study.ledger import Ledger
from rebnn_search.study.pausing import PauseRule
from rebnn_search.study.search import Search
from rebnn_search.study.spec import Params
from rebnn_search.study.stopping import reason_to_stop, trials_left
from rebnn_search.training.custom_parts import allowed_parts
from rebnn_search.training.report_log import TrackedReport

FIRST_FAILURES = 5
"""Stop the run when the first trials to end have all failed: at least so many, and at least as many as are running or paused."""


class Controller:
    """Decides which trial comes next and what becomes of each report.

    A trial may be handed out several times, after failures of its worker or a pause: each is an attempt, and what a former one still
    has to say is ignored. Tune's own retrying is not used: it gives a trial up at once whose reused actor dies before its first step.

    Args:
        search: The resolved search.
        folder: Its folder; None where it is kept in memory.
        ledger: Its ledger, brought up to date here.
        tracking: Where its trials are tracked.
        observer: Who watches.
        budget: The time this run may take; None for any.
        pauses: Who waits while others train; by default what the search's pruner says.
    """

    def __init__(
        self,
        search: Search,
        folder: SearchFolder | None,
        ledger: Ledger,
        tracking: TrialTracking,
        observer: SearchObserver,
        budget: Budget | None = None,
        pauses: PauseRule | None = None,
    ) -> None:
        self._search = search
        self._folder = folder
        self._ledger = ledger
        self._tracking = tracking
        self._observer = observer
        self._budget = budget
        self._pauses = pauses or ledger.pauses
        self._todo = deque(ledger.recover())
        self._paused = ledger.paused
        for number, params in list(self._todo):
            if self._pauses.pauses(ledger, number) and not ledger.went_on(number):  # as the stopped driver was about to say
                self._todo.remove((number, params))
                self._wait(number)
        self._live: dict[int, Params] = {}
        self._data = DataSeen(ledger, observer)
        resources = search.spec.resources
        workers, cpus, gpus = resources.workers_per_trial, resources.cpus_per_worker, resources.gpus_per_worker
        self._attempts = AttemptLog(None if folder is None else folder.attempts_file, workers * cpus, workers * gpus)
        self._handed_out_at: dict[int, int] = {}
        self._failures: Counter[int] = Counter()
        self._handed_out: Counter[int] = Counter()
        self._ends: Counter[TrialState] = Counter()
        self._enough: str | None = None
        self._stale = True  # trials ended, began to wait or went on since
        self.stopping = False
        self.abort_reason: str | None = None
        ended = {t.number: (t.state.name, t.user_attrs.get(SUMMARY, {})) for t in ledger.trials if t.state.is_finished()}
        observer.began(search.trials, ended)

    @property
    def live(self) -> int:
        """How many trials the executor holds."""
        return len(self._live)

    @property
    def wanted(self) -> int:
        """How many trials the executor could hold now, were there room for all."""
        if self.ending:
            return self.live
        return self.live + len(self._todo) + self._left + int(self._next_paused() is not None)

    @property
    def exhausted(self) -> bool:
        """Whether no trial is left to hand out now; one that the executor holds may yet come back."""
        return self.ending or not (self._todo or self._left or self._next_paused() is not None)

    @property
    def _left(self) -> int:
        """How many new trials may still be asked for."""
        return trials_left(self._search, self._ledger.asked, self.enough)

    @property
    def enough(self) -> str | None:
        """Why no more trials are begun though there are fewer than there might be, in words; None if they are."""
        if self._stale:
            self._enough, self._stale = reason_to_stop(self._search, self._ledger), False
        return self._enough

    @property
    def unfinished(self) -> bool:
        """Whether trials are left to begin, or to go on with."""
        return self._left > 0 or any(trial.state == TrialState.RUNNING for trial in self._ledger.trials)

    def _next_paused(self) -> int | None:
        if not self._paused:
            return None
        if self._budget is not None and self._budget.late:  # as if no new trial were left, or none might come to its end
            last = self._pauses.continues(self._ledger, self._paused, 0)
            if last is not None:
                return last
        return self._pauses.continues(self._ledger, self._paused, self._left)

    @property
    def ending(self) -> bool:
        """Whether running trials shall end at their next report: the user wants it, or the time is over."""
        return self.stopping or (self._budget is not None and self._budget.over)

    def next_task(self) -> TrialTask:
        """Hand out a trial. Not to be asked for once exhausted."""
        number, params = self._choose()
        self._live[number] = params
        self._handed_out[number] += 1
        self._handed_out_at[number] = now()
        if self._budget is not None:
            self._budget.started(number)
        name = self._search.name_of(number, params)
        self._tracking.started(number, name, params)
        self._observer.started(number, name, params, self._ledger.reports(number).last_step)
        recipe, resources = self._search.recipe_data(params, number), self._search.spec.resources
        if self._folder is not None:
            # The next worker may die without a word, and is not to be told by an earlier one's.
            with suppress(FileNotFoundError):
                self._trace_file(number).replace(self._trace_file(number).with_name("error-before.txt"))
            write_trial_recipe(self._search, self._folder, number, params)
        return TrialTask(
            number=number,
            attempt=self._handed_out[number],
            params=params,
            recipe=recipe,
            last_step=self._ledger.reports(number).last_step,
            folder=None if self._folder is None else str(self._folder.path.absolute()),
            remote=None if self._folder is None else self._folder.remote,
            workers=resources.workers_per_trial,
            threads=resources.cpus_per_worker,
            gpus=resources.gpus_per_worker,
            measured=self._search.measured,
            allowed=allowed_parts(),
            search_id=self._ledger.search_id,
        )

    def at_work(self, task: TrialTask) -> None:
        """Take in that a worker has a trial now. An executor that does not say so is taken to have one when it is handed out."""
        if self._is_live(task):
            self._attempts.begin(task.number, task.last_step)

    def _choose(self) -> tuple[int, Params]:
        if self._todo:
            return self._todo.popleft()
        number = self._next_paused()
        if number is None:
            return self._ledger.ask()
        return number, self._take_up(number)

    def _take_up(self, number: int) -> Params:
        self._paused.remove(number)
        self._stale = True
        return self._ledger.take_up(number)

    def _is_live(self, task: TrialTask) -> bool:
        return task.number in self._live and task.attempt == self._handed_out[task.number]

    def update(self, task: TrialTask, update: TrialUpdate) -> Decision:
        """Take in news of a trial, and decide what becomes of it."""
        number = task.number
        if not self._is_live(task):
            return Decision.STOP
        self._attempts.begin(number, task.last_step, self._handed_out_at[number])
        if update.data is not None:
            self._data.take(number, self._search.recipe_data(self._live[number], number)["data"], update.data)
        if update.stops is not None:
            self._abort(task, update.stops)
            return Decision.STOP
        if update.failed is not None:
            self._end(number, TrialState.FAIL, update.failed)
            return Decision.STOP
        if update.report is None:
            return Decision.CONTINUE
        kept = TrackedReport.of(update.report, update.final)
        if self._ledger.report(number, kept):
            self._tracking.reported(number, kept)
            self._observer.reported(number, kept)
            if self._budget is not None:
                self._budget.reported(number, kept.epoch)
        elif not kept.final:
            return Decision.CONTINUE  # reported again by a worker that was started again
        if kept.final:
            self._end(number, TrialState.COMPLETE, None)
            return Decision.STOP
        if self._ledger.should_prune(number):
            self._end(number, TrialState.PRUNED, self._ledger.why_pruned(number))
            return Decision.STOP
        return self._wait_unless_next(number) if self._pauses.pauses(self._ledger, number) else Decision.CONTINUE

    def _wait_unless_next(self, number: int) -> Decision:
        self._wait(number)
        if not self._todo and self._next_paused() == number:
            self._take_up(number)
            return Decision.CONTINUE
        del self._live[number]
        self._attempts.end(number)
        self._observer.paused(number)
        return Decision.PAUSE

    def _wait(self, number: int) -> None:
        self._ledger.pause(number)
        bisect.insort(self._paused, number)
        self._stale = True

    def error(self, task: TrialTask, message: str) -> None:
        """Take in that a trial raised or its worker died: put it at the head of the queue, or give it up after too many times."""
        number = task.number
        if not self._is_live(task):
            return
        self._attempts.end(number)
        trace = self._trace(number, message)
        full = next((os.strerror(code) for code in NO_ROOM if os.strerror(code) in trace), None)
        if full is not None:
            self._abort(task, f"{full}; {ROOM}")
            return
        self._failures[number] += 1
        reason = next((line.strip() for line in reversed(trace.splitlines()) if line.strip()), "the worker died")
        if self._failures[number] <= self._search.spec.max_failures:
            self._observer.failed(number, reason, self._failures[number])
            self._todo.appendleft((number, self._live.pop(number)))
            return
        self._tracking.gave_up(number, trace)
        self._end(number, TrialState.FAIL, reason)

    def _abort(self, task: TrialTask, reason: str) -> None:
        """Take a trial back unfinished, and stop the search for what the user is to mend."""
        self.put_back(task)
        self.abort_reason = reason
        self.stop()

    def _trace_file(self, number: int) -> Path:
        assert self._folder is not None
        return self._folder.trace_file(number)

    def _trace(self, number: int, message: str) -> str:
        """The traceback that the trial left in its folder, or else what Ray knows; kept in the folder."""
        if self._folder is None:
            return message
        file = self._trace_file(number)
        if file.exists():
            return file.read_text(encoding="utf-8") or message
        with suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(file, message)
        return message

    def _end(self, number: int, state: TrialState, reason: str | None) -> None:
        self._attempts.end(number)
        reports = self._ledger.reports(number).reports
        if state == TrialState.COMPLETE:
            self._ledger.complete(number)
        elif state == TrialState.PRUNED:
            self._ledger.prune(number, reason or "")
        else:
            self._ledger.fail(number, reason or "")
        self._stale = True
        del self._live[number]
        trial = self._ledger.trial(number)
        state, reason = trial.state, trial.user_attrs.get(REASON)  # complete is only what has all that it is judged by
        self._tracking.ended(trial, reports)
        self._observer.finished(number, state.name, reason, trial.user_attrs.get(SUMMARY, {}))
        self._ends[state] += 1
        failed = self._ends[TrialState.FAIL]
        # Of hundreds at a time those that diverge are the first to end: as many must have failed as go on or wait.
        if failed == self._ends.total() >= max(FIRST_FAILURES, len(self._live) + len(self._paused)):
            self.abort_reason = f"the first {failed} trials all failed, so the search was stopped: {reason}"
            self.stop()

    def give_up_paused(self) -> None:
        """Prune the trials that wait and that nobody will take up again. For the end of a search that was not cut short."""
        for number in self._paused:
            self._live[number] = self._ledger.params(number)  # not taken up: killed before its end, it would be trained on
            self._end(
                number, TrialState.PRUNED, f"paused at report {self._ledger.reports(number).last_step}, and not taken up again"
            )
        self._paused.clear()

    def stop(self) -> None:
        """Hand out no more trials, and let those that run end at their next report with a checkpoint."""
        self.stopping = True

    def put_back_all(self) -> None:
        """Take all trials back unfinished: the executor has ended and holds none."""
        for number in self._live:
            self._attempts.end(number)
        self._live.clear()

    def put_back(self, task: TrialTask) -> None:
        """Take a trial back unfinished, for a later resume."""
        if self._is_live(task):
            self._attempts.end(task.number)
            del self._live[task.number]
