"""A search from beginning to end: ledger, tracking and executor put together, and taken apart again."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rebnn_search.base.files import make_directory, sync_directory
from rebnn_search.base.log_redirect import quiet_imports, redirect_output
from rebnn_search.base.packaged import SPACES, find_file
from rebnn_search.base.secrets import hide_secrets
from rebnn_search.config import UserError
from rebnn_search.execution.budget import Budget
from rebnn_search.execution.controller import Controller
from rebnn_search.execution.events import SearchObserver
from rebnn_search.execution.executor import Executor
from rebnn_search.execution.mend import mend_reports
from rebnn_search.execution.publish import choose, outcome, publish
from rebnn_search.execution.reconcile import reconcile
from rebnn_search.execution.trained_elsewhere import take_trained
from rebnn_search.execution.trial_runs import TrialRuns
from rebnn_search.storage.begun import clear_leftover, removed_unless_begun
from rebnn_search.storage.find import find_folder
from rebnn_search.storage.folder import DriverLock, SearchFolder, explain_disk_errors
from rebnn_search.storage.leftovers import clear_partial_files
from rebnn_search.storage.remote_sync import RemoteSync
from rebnn_search.study.attributes import RUNS
from rebnn_search.study.cost import Cost, cost_of
from rebnn_search.study.ledger import Ledger
from rebnn_search.study.load import load_search
from rebnn_search.study.optuna_log import optuna_log_muted
from rebnn_search.study.record import check_ledger
from rebnn_search.study.result import Result
from rebnn_search.study.resume import resume_search
from rebnn_search.study.search import Search
from rebnn_search.study.warm_start import warm_started
from rebnn_search.tracking import Runs, Tracker, check_answers, check_uri, default_uri, write_view
from rebnn_search.tracking.system import SystemMetrics

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
    address: str = "local"
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
        search, folder, tracking_uri, ledger_url = self.search, self.folder, self.tracking_uri, self.ledger_url
        experiment = Path(self.source).stem
        if ledger_url is not None:
            check_ledger(ledger_url)
        check_answers(tracking_uri)
        executor: Executor = self._executor()
        if not self.resumed:
            with explain_disk_errors(folder):
                clear_leftover(folder)
        with removed_unless_begun(folder), ExitStack() as stack:
            try:
                make_directory(folder.path)
                # What a driver made that was killed may be there and not on the disk yet.
                for place in (folder.path.parent.parent, folder.path.parent, folder.path, folder.trials):
                    if place.is_dir():
                        sync_directory(place)
            except OSError as error:
                raise UserError(f"--storage {folder.path.parent}: no search can be kept there: {error.strerror}") from None
            sync = nullcontext() if folder.remote is None else RemoteSync(folder, FLUSH_SECONDS)
            for part in (
                optuna_log_muted(),
                explain_disk_errors(folder),
                DriverLock(folder),
                redirect_output(folder.log),
                sync,
            ):
                stack.enter_context(part)
            clear_partial_files(folder)
            ledger = Ledger(folder, search, ledger_url)
            search_id = ledger.search_id
            folder.write_search(self.source, search.dump(), ledger_url and hide_secrets(ledger_url), search_id)
            if self.trained is not None:
                take_trained(search, folder, self.trained)
            ledger.note(RUNS, [*(ledger.noted(RUNS) or []), _this_run(search, folder, self.address, tracking_uri)])

            begun = ledger.asked > 0
            system = SystemMetrics(tracking_uri)

            def open_parent(runs: Runs) -> None:
                runs.ensure_parent(folder.name, parent_params(search))
                view_of(search, runs)

            def connect() -> Runs:
                runs = Runs(tracking_uri, experiment, search_id)
                runs.check_files()
                if begun:
                    open_parent(runs)
                else:  # no run of a search that may end, or be killed, before it has a trial: nobody would come back to it
                    runs.check_writable()
                return runs

            def first(runs: Runs) -> None:
                open_parent(runs)
                system.start(runs)

            tracker = Tracker(connect)
            with executor:
                runs = tracker.connected(tracking_uri)
                mend_reports(search, folder, ledger, runs)
                trial_runs = TrialRuns(search, tracker, None if begun else first)
                controller = Controller(search, folder, ledger, trial_runs, observer, search.trials, budget)
                reconcile(search, folder, ledger, tracker)
                on_start(controller.stop)
                if not controller.exhausted:
                    folder.result_file.unlink(missing_ok=True)
                    if begun:
                        tracker.do(system.start)
                    try:
                        executor.run(controller)
                    finally:
                        system.stop()
                interrupted = controller.stopping
                if not controller.ending:
                    controller.give_up_paused()
                best = None if interrupted else choose(search, folder, ledger, executor)
                unfinished = controller.unfinished
                enough = controller.enough if ledger.asked < search.trials and not unfinished else None
            out_of_time = budget is not None and unfinished and not interrupted
            too_short = out_of_time and not ledger.completed
            interrupted = interrupted or too_short
            cost = _ended(ledger, folder)
            if ledger.asked and not runs.parent_id:
                tracker.reached(FLUSH_SECONDS)
            result = outcome(search, folder, ledger, tracking_uri, experiment, runs, best, interrupted, cost)
            publish(search, folder, ledger, tracker, tracking_uri, result)
            tracked = tracker.close(FLUSH_SECONDS)
            if controller.abort_reason is not None:
                raise UserError(f"{folder.name}: {controller.abort_reason}")
            if budget is not None and too_short:
                raise UserError(f"{folder.name}: {budget.too_small(int(search.base['epochs']))}")
            # Again, for the runs that tracking has made meanwhile.
            result = outcome(search, folder, ledger, tracking_uri, experiment, runs, best, interrupted, cost)
            untracked = None if tracked else tracker.trouble or "it is slow"
            result = replace(result, out_of_time=out_of_time, enough=enough, untracked=untracked)
            observer.ended(result)
            return result


def open_search(
    space: str | Path,
    *,
    overrides: Iterable[str] = (),
    trials: int | None = None,
    name: str | None = None,
    storage: str = "results",
    ledger: str | None = None,
    tracking_uri: str | None = None,
    address: str = "local",
    resume: bool = False,
    or_start: bool = False,
    executor: Callable[[], Executor] | None = None,
    trained: str | Path | None = None,
) -> Session:
    """Read a search file and find the folder of its search: everything that can go wrong before anything is made.

    Args:
        space: The search file, or the name of one that comes with the program.
        overrides: ``KEY=VALUE`` of the search file or its recipe.
        trials: How many trials in all.
        name: The search's; by default the file's and the next free number, or to resume the newest unfinished one.
        storage: Directory or URI where searches are kept.
        ledger: Database of the Optuna study; None for a journal in the search's folder.
        tracking_uri: MLflow's; by default ``MLFLOW_TRACKING_URI``, or ``mlflow.db`` in the working directory.
        address: As of `Session`.
        resume: Whether to go on with a search, which must be there.
        or_start: Whether to go on with one if it is there.
        executor: As of `Session`.
        trained: As of `Session`.

    Raises:
        UserError: For a mistake in file or arguments, or if there is nothing to resume, or something else than what was begun.
    """
    uri = check_uri(tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or default_uri())
    file = find_file(space, SPACES)
    search = load_search(file, [*overrides, *([f"trials={trials}"] if trials is not None else [])])
    source = file.name
    found = find_folder(storage, source, name, resume=resume, or_start=or_start)
    if found.resumed:
        search = resume_search(found.folder, search, trials)
    elif search.spec.warm_start is not None:
        search = warm_started(search, storage, ledger)
    place = None if trained is None else Path(trained)
    return Session(search, found.folder, source, uri, ledger, address, executor, found.resumed, found.unfinished, place)


def _ended(ledger: Ledger, folder: SearchFolder) -> Cost:
    """Note that the run ends now. Returns what the search cost."""
    runs: list[dict[str, Any]] = ledger.noted(RUNS)
    runs[-1]["ended"] = datetime.now(UTC).isoformat(timespec="seconds")
    ledger.note(RUNS, runs)
    return cost_of(folder, ledger.trials, runs)


def _this_run(search: Search, folder: SearchFolder, address: str, tracking_uri: str) -> dict[str, Any]:
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": socket.gethostname(),
        "address": address,
        "storage": hide_secrets(folder.remote.rpartition("/")[0] if folder.remote else str(folder.path.parent)),
        "tracking_uri": hide_secrets(tracking_uri),
        "trials": search.spec.trials,
        "max_failures": search.spec.max_failures,
        "resources": search.spec.resources.model_dump(),
        "command": hide_secrets(shlex.join(sys.orig_argv)),
        "commit": _commit(),
        "versions": {name: version(name) for name in ("rebnn-search", "torch", "ray", "optuna", "mlflow")},
    }


def _commit() -> str | None:
    """The commit of the working directory's checkout, marked where it has changes; None outside of one."""
    try:
        words = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def view_of(search: Search, runs: Runs) -> None:
    """Write what MLflow's UI shows first of a search, where it is taken."""
    objective = search.spec.objective
    space = {name: not parameter.when for name, parameter in search.space.parameters.items()}
    measured = [goal.name for goal in search.extras]
    write_view(
        runs.client, runs.experiment_id, runs.search_id, runs.parent_id, space, objective.metric, minimize=objective.minimize,
        measured=measured,
    )  # fmt: skip


def parent_params(search: Search) -> Mapping[str, str]:
    """What the parent run says of the search as parameters."""
    spec = search.spec
    goals = {"objectives": ", ".join(f"{goal.direction} {goal.name}" for goal in search.goals)} if len(search.goals) > 1 else {}
    limits = {"constraints": ", ".join(str(limit) for limit in search.limits)} if search.limits else {}
    return {
        "objective": f"{spec.objective.direction} {spec.objective.metric}",
        **goals,
        **limits,
        "sampler": spec.sampler.name,
        "pruner": spec.pruner.name,
        "sampler_seed": str(spec.sampler_seed),
        "space": ", ".join(search.space),
    }
