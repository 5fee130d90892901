"""A search from beginning to end: ledger, tracking and executor put together, and taken apart again."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from rebnn_search.base.files import make_directory, sync_directory
from rebnn_search.base.log_redirect import quiet_imports, redirect_output
from rebnn_search.base.secrets import hide_secrets
from rebnn_search.config import UserError
from rebnn_search.execution.budget import Budget
from rebnn_search.execution.controller import Controller
from rebnn_search.execution.driver_runs import note_begin, note_end
from rebnn_search.execution.events import SearchObserver
from rebnn_search.execution.executor import Executor
from rebnn_search.execution.mend import mend_reports
from rebnn_search.execution.parent_run import ParentRun
from rebnn_search.execution.publish import Ending, choose, outcome, publish, settled
from rebnn_search.execution.ray.address import LOCAL
from rebnn_search.execution.reconcile import reconcile
from rebnn_search.execution.serial import SerialExecutor
from rebnn_search.execution.trained_elsewhere import take_trained
from rebnn_search.execution.trial_runs import TrialRuns
from rebnn_search.storage.begun import clear_leftover, has_begun, removed_unless_begun
from rebnn_search.storage.folder import SearchFolder, explain_disk_errors
from rebnn_search.storage.leftovers import clear_partial_files
from rebnn_search.storage.lock import DriverLock
from rebnn_search.storage.remote_sync import RemoteSync
from rebnn_search.study.ledger import Ledger
from rebnn_search.study.optuna_log import optuna_log_muted
from rebnn_search.study.record import check_ledger, explain_database_errors
from rebnn_search.study.result import Result
from rebnn_search.study.search import Search
from rebnn_search.tracking import Runs, check_answers

FLUSH_SECONDS = 120.0
"""How long a search's end waits for a tracking server, or an object store, that is away."""


@dataclass(frozen=True)
class Session:
    """A search that is to be run, new or begun: what it is, where it is kept, what trains its trials.

    Attributes:
        search: The resolved search; ``search.spec.trials`` trials in all.
        folder: Its folder; made if it is not there.
        source: Name of the search file, whose stem also names the MLflow experiment.
        tracking_uri: As `rebnn_search.tracking.check_uri` returned it.
        ledger_url: Database of the ledger; None keeps it in a journal in the folder.
        address: ``local`` starts a Ray of its own, ``auto`` or ``HOST:PORT`` joins a cluster.
        executor: Makes what trains the trials, in place of Ray.
        resumed: Whether the search had begun.
        unfinished: Searches of the same file that wait for a resume.
        trained: Folder of trainings made elsewhere that become its trials: `rebnn_search.execution.trained_elsewhere.take_trained`.
    """

    search: Search
    folder: SearchFolder
    source: str
    tracking_uri: str
    ledger_url: str | None = None
    address: str = LOCAL
    executor: Callable[[], Executor] | None = None
    resumed: bool = False
    unfinished: Sequence[str] = ()
    trained: Path | None = None

    def _executor(self) -> Executor:
        if self.executor is not None:
            return self.executor()
        with quiet_imports():
            from rebnn_search.execution.ray.executor import RayExecutor  # seconds, which other executors need not wait for

        return RayExecutor(self.folder, self.search.spec.resources, self.address)

    def run(
        self,
        observer: SearchObserver,
        *,
        budget: Budget | None = None,
        on_start: Callable[[Callable[[], None]], None] = lambda stop: None,
    ) -> Result:
        """Run the search until it has all its trials or is asked to stop.

        Args:
            observer: Notified of every event.
            budget: The time it may take: when that is used up it ends as finished over the trials it has.
            on_start: Given a function that asks the search to stop cleanly, before the first trial.

        Raises:
            UserError: If another driver holds the search, its journal is damaged, ledger, Ray or tracking cannot be had, a trial
                asks for what the machine lacks, or the time was over before any trial was trained to its end. What was found out
                before the first trial leaves no new folder behind.
        """
        if self.ledger_url is not None:
            check_ledger(self.ledger_url)
        check_answers(self.tracking_uri)
        search, folder = self.search, self.folder
        if not self.resumed and self.executor is None and self.address == LOCAL and not _ray_is_given():
            search.check_data()  # before the seconds that Ray takes to start
        executor = None if self.resumed else self._executor()
        if not self.resumed:
            with explain_disk_errors(folder):
                clear_leftover(folder)
        with removed_unless_begun(folder), ExitStack() as stack:
            self._take_folder(stack)
            if not self.resumed and (folder.search_file.exists() or has_begun(folder)):
                raise UserError(f"{folder.name}: another search took this name meanwhile: begin again, for another name")
            ledger = self._open_ledger()
            begun = ledger.asked > 0
            if executor is None:  # where nothing is left to do, nobody is to wait for a cluster
                executor = SerialExecutor() if settled(search, ledger) else self._executor()
            experiment = Path(self.source).stem
            parent = ParentRun(search, folder.name, self.tracking_uri, experiment, ledger.search_id, begun=begun)
            with parent:
                with executor:
                    runs = parent.tracker.connected(self.tracking_uri)
                    mend_reports(search, folder, ledger, runs)
                    trial_runs = TrialRuns(search, parent.tracker, None if begun else parent.begin)
                    controller = Controller(search, folder, ledger, trial_runs, observer, budget)
                    reconcile(search, folder, ledger, parent.tracker)
                    on_start(controller.stop)
                    if not controller.exhausted:
                        folder.result_file.unlink(missing_ok=True)
                        with parent.measured():
                            executor.run(controller)
                    ending = self._end(ledger, controller, executor, budget)
                result = self._conclude(ledger, parent, runs, ending)
            observer.ended(result)
            return result

    def _take_folder(self, stack: ExitStack) -> None:
        """Make the folder and hold it, in a stack's keeping: its lock, its log, its copy in an object store."""
        folder = self.folder
        try:
            make_directory(folder.path)
            # What a driver made that was killed may be there and not on the disk yet.
            for place in (folder.path.parent.parent, folder.path.parent, folder.path, folder.trials):
                if place.is_dir():
                    sync_directory(place)
        except OSError as error:
            raise UserError(f"--storage {folder.path.parent}: no search can be kept there: {error.strerror}") from None
        sync = nullcontext() if folder.remote is None else RemoteSync(folder, FLUSH_SECONDS)
        explained = explain_disk_errors(folder), explain_database_errors(self.ledger_url)
        for part in (optuna_log_muted(), *explained, DriverLock(folder), redirect_output(folder.log), sync):
            stack.enter_context(part)
        clear_partial_files(folder)

    def _open_ledger(self) -> Ledger:
        """Open the ledger, write what the search is beside it, and note that a run begins."""
        search, folder, url = self.search, self.folder, self.ledger_url
        ledger = Ledger(folder, search, url)
        folder.write_search(self.source, search.dump(), url and hide_secrets(url), ledger.search_id)
        if self.trained is not None:
            take_trained(search, folder, self.trained)
        note_begin(ledger, search, folder, self.address, self.tracking_uri)
        return ledger

    def _end(self, ledger: Ledger, controller: Controller, executor: Executor, budget: Budget | None) -> Ending:
        """Choose the best trial, unless the search was stopped, and say how it ended."""
        search, interrupted = self.search, controller.stopping  # a signal that comes later finds nothing to stop
        if not controller.ending:
            controller.give_up_paused()
        best = None if interrupted else choose(search, self.folder, ledger, executor)
        unfinished, failure = controller.unfinished, controller.abort_reason
        out_of_time = budget is not None and unfinished and not interrupted
        if budget is not None and out_of_time and not ledger.completed:
            interrupted, failure = True, failure or budget.too_small(int(search.base["epochs"]))
        enough = controller.enough if ledger.asked < search.trials and not unfinished else None
        return Ending(best, interrupted=interrupted, out_of_time=out_of_time, enough=enough, failure=failure)

    def _conclude(self, ledger: Ledger, parent: ParentRun, runs: Runs, ending: Ending) -> Result:
        """Publish what was found, and wait for tracking. Raises as `run` does."""
        search, folder, tracker = self.search, self.folder, parent.tracker
        ending = replace(ending, cost=note_end(ledger, folder))
        if ledger.asked and not runs.parent_id:
            tracker.reached(FLUSH_SECONDS)
        made = partial(outcome, search, folder, ledger, parent, runs, ending)
        publish(search, folder, ledger, parent, made())
        tracked = tracker.close(FLUSH_SECONDS)
        if ending.failure is not None:
            raise UserError(f"{folder.name}: {ending.failure}")
        # Again, for the runs that tracking has made meanwhile.
        return replace(made(), untracked=None if tracked else tracker.trouble or "it is slow")


def _ray_is_given() -> bool:
    """Whether the process has a Ray already, of which other machines may be part; does not import it."""
    ray = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())
