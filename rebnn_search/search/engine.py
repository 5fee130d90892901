"""A search from beginning to end: ledger, tracking, Ray and Tune put together, and taken apart again."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import ray
from optuna.trial import TrialState
from ray import tune
from sqlalchemy.exc import DBAPIError

from rebnn_search.config import UserError
from rebnn_search.search.adapters import MAX_LOOKAHEAD, ErrorCallback, LedgerScheduler, LedgerSearcher, StopWhenAsked
from rebnn_search.search.address import LOCAL, check_address, check_head
from rebnn_search.search.begun import check_ledger, check_tracking, removed_unless_begun
from rebnn_search.search.budget import Budget
from rebnn_search.search.conductor import Conductor, Observer
from rebnn_search.search.finish import RUNS, choose, outcome, publish
from rebnn_search.search.head import watched_head
from rebnn_search.search.ledger import Ledger
from rebnn_search.search.mend import mend_reports
from rebnn_search.search.mirror import Mirror
from rebnn_search.search.quiet import chatter_to
from rebnn_search.search.reconcile import reconcile
from rebnn_search.search.result import Result
from rebnn_search.search.room import TellsOfWaiting, bundle, check_machine, refuse_unless_fits
from rebnn_search.search.session import own_session
from rebnn_search.search.spec import Resources, Search
from rebnn_search.search.storage import DriverLock, SearchFolder, disk_trouble_is_told
from rebnn_search.search.trainable import RecipeTrial
from rebnn_search.tracking import Runs, Tracker, hide_secrets
from rebnn_search.tracking.system import SystemMetrics
from rebnn_search.training.own import ALLOWED

FLUSH_SECONDS = 120.0
"""How long a search's end waits for a tracking server, or an object store, that is away."""

RAY_LOGS = "ray_logs"
"""Folder of Ray's own logs of a run that raised."""

ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # MLflow and the ledger keep what CSV and TensorBoard would
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # signals are the command's to handle
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",  # Tune's snapshot of the experiment is never read
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}


def run_search(
    search: Search,
    folder: SearchFolder,
    *,
    source: str,
    tracking_uri: str,
    observer: Observer,
    ledger_url: str | None = None,
    address: str = "local",
    budget: Budget | None = None,
    on_start: Callable[[Callable[[], None]], None] = lambda stop: None,
) -> Result:
    """Run a search, new or begun, until it has all its trials or is asked to stop.

    Args:
        search: The resolved search; ``search.spec.trials`` trials in all.
        folder: Its folder; made if it is not there.
        source: Name of the search file, whose stem also names the MLflow experiment.
        tracking_uri: As `rebnn_search.tracking.check_uri` returned it.
        observer: Told of every event.
        ledger_url: Database of the ledger; None keeps it in a journal in the folder.
        address: ``local`` starts a Ray of its own, ``auto`` or ``HOST:PORT`` joins a cluster.
        budget: The time it may take: when that is used up it ends as finished over the trials it has.
        on_start: Given a function that asks the search to stop cleanly, before the first trial.

    Raises:
        UserError: If another driver holds the search, its journal is damaged, ledger, Ray or tracking cannot be had, a trial asks for
            what the machine lacks, or the time was over before any trial was trained to its end. What was found out before the
            first trial leaves no new folder behind.
    """
    experiment = Path(source).stem
    own = address == LOCAL and not ray.is_initialized()
    if ledger_url is not None:
        check_ledger(ledger_url)
    check_tracking(tracking_uri)
    if own:
        check_machine(search.spec.resources)
    head = address if ray.is_initialized() else check_address(address)
    with removed_unless_begun(folder), ExitStack() as stack:
        try:
            folder.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"--storage {folder.path.parent}: no search can be kept there: {error.strerror}") from None
        mirror = nullcontext() if folder.remote is None else Mirror(folder, FLUSH_SECONDS)
        for part in (disk_trouble_is_told(folder), DriverLock(folder), chatter_to(folder.log), mirror):
            stack.enter_context(part)
        ledger = Ledger(folder, search, ledger_url)
        search_id = ledger.search_id
        folder.write_search(source, search.dump(), ledger_url and hide_secrets(ledger_url), search_id)
        ledger.note(RUNS, [*(ledger.noted(RUNS) or []), _this_run(search, address)])

        def connect() -> Runs:
            runs = Runs(tracking_uri, experiment, search_id)
            runs.ensure_parent(folder.name, parent_params(search))
            return runs

        tracker = Tracker(connect)
        with _environment(ENVIRONMENT), _ray(head, folder.path / RAY_LOGS):
            if own:  # Ray knows what of the machine is this container's
                refuse_unless_fits(ray.cluster_resources(), search.spec.resources)
            runs = _connected(tracker, tracking_uri)
            mend_reports(search, folder, ledger, runs)
            conductor = Conductor(search, folder, ledger, tracker, observer, search.trials, budget)
            reconcile(search, folder, ledger, tracker)
            on_start(conductor.stop)
            if not conductor.exhausted:
                folder.result_file.unlink(missing_ok=True)
                system = SystemMetrics(tracking_uri)
                tracker.do(system.start)
                try:
                    _tune(search, folder, conductor)
                finally:
                    system.stop()
            interrupted = conductor.stopping
            best = None if interrupted else choose(search, folder, ledger)
            unfinished = ledger.asked < search.trials or any(t.state == TrialState.RUNNING for t in ledger.trials)
        out_of_time = budget is not None and unfinished and not interrupted
        interrupted = interrupted or (out_of_time and best is None)
        result = outcome(search, folder, ledger, tracking_uri, experiment, runs, best, interrupted)
        publish(search, folder, ledger, tracker, tracking_uri, result)
        tracked = tracker.close(FLUSH_SECONDS)
        if conductor.hopeless is not None:
            raise UserError(f"{folder.name}: {conductor.hopeless}")
        if budget is not None and out_of_time and best is None:
            raise UserError(f"{folder.name}: {budget.too_small(int(search.base['epochs']))}")
        # Again, for the runs that tracking has made meanwhile.
        result = outcome(search, folder, ledger, tracking_uri, experiment, runs, best, interrupted)
        result = replace(result, out_of_time=out_of_time)
        return result if tracked else replace(result, untracked=tracker.trouble or "it is slow")


def _this_run(search: Search, address: str) -> dict[str, Any]:
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": socket.gethostname(),
        "address": address,
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


def parent_params(search: Search) -> Mapping[str, str]:
    """What the parent run says of the search as parameters."""
    spec = search.spec
    return {
        "objective": f"{spec.objective.direction} {spec.objective.metric}",
        "sampler": spec.sampler.name,
        "pruner": spec.pruner.name,
        "sampler_seed": str(spec.sampler_seed),
        "space": ", ".join(search.space),
    }


def _connected(tracker: Tracker, uri: str) -> Runs:
    try:
        return tracker.wait_ready()
    except UserError:
        raise
    except Exception as error:
        reason = hide_secrets(f"{type(error).__name__}: {_words(error)}".splitlines()[0])
        raise UserError(f"--tracking-uri {hide_secrets(uri)}: cannot be used: {reason}") from error


def _words(error: BaseException) -> str:
    """What an error says: where a database's lies below it, what that says, without SQLAlchemy's remarks before it."""
    below: BaseException | None = error
    while below is not None:
        if isinstance(below, DBAPIError):
            return str(below.orig)
        below = below.__cause__ or below.__context__
    return str(error)


def _tune(search: Search, folder: SearchFolder, conductor: Conductor) -> None:
    resources = search.spec.resources
    limit = _slots(resources)
    with _environment({"TUNE_MAX_PENDING_TRIALS_PG": str(max(1, limit()))}):
        tune.run(
            RecipeTrial,
            name="ray",
            storage_path=str(folder.path.absolute()),
            num_samples=MAX_LOOKAHEAD,
            resources_per_trial=bundles(resources),
            search_alg=LedgerSearcher(conductor, limit),
            scheduler=LedgerScheduler(conductor),
            callbacks=[ErrorCallback(conductor), TellsOfWaiting(resources)],
            stop=StopWhenAsked(conductor),
            max_failures=0,  # the conductor starts failed trials again
            reuse_actors=True,
            raise_on_failed_trial=False,
            trial_dirname_creator=lambda trial: f"{trial.config['number']:04d}",
            verbose=0,
        )


def bundles(resources: Resources) -> tune.PlacementGroupFactory:
    """What Ray reserves for a trial: one bundle a worker."""
    return tune.PlacementGroupFactory([bundle(resources) for _ in range(resources.workers_per_trial)], strategy="PACK")


def _slots(resources: Resources) -> Callable[[], int]:
    """How many trials the cluster has room for, asked anew each time: nodes come and go."""

    def limit() -> int:
        cluster = ray.cluster_resources()
        room = int(cluster.get("CPU", 0) // (resources.cpus_per_worker * resources.workers_per_trial))
        if resources.gpus_per_worker:
            room = min(room, int(cluster.get("GPU", 0) / (resources.gpus_per_worker * resources.workers_per_trial) + 1e-6))
        return max(1, min(room, resources.max_concurrent or room))

    return limit


@contextmanager
def _ray(address: str, logs: Path) -> Iterator[None]:
    if ray.is_initialized():
        yield
        return
    try:
        options: dict[str, Any] = {"address": address, "log_to_driver": False, "logging_level": "warning"}
        if address == LOCAL:
            options["include_dashboard"] = False
        else:
            check_head(address)
        if ALLOWED in os.environ:
            options["runtime_env"] = {"env_vars": {ALLOWED: os.environ[ALLOWED]}}
        session = Path(ray.init(**options).address_info["session_dir"])
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise UserError(
            f"--address {address}: no Ray there: {(str(error).splitlines() or ['it does not answer'])[0]}"
        ) from error
    own = address == LOCAL
    with own_session(session, logs) if own else nullcontext():
        try:
            with watched_head(session if own else None):
                yield
        finally:
            ray.shutdown(wait_for_processes=True)


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
