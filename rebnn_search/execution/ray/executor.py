"""Ray Tune as an executor: trials in actors that are used again, on this machine or a cluster."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import ray
import torch
from optuna.exceptions import StorageInternalError
from ray import tune
from ray.tune.error import TuneError

from rebnn_search.base.cores import whole_cores
from rebnn_search.base.environment import environment
from rebnn_search.base.notices import notice
from rebnn_search.config import Notice, UserError
from rebnn_search.execution.controller import Controller
from rebnn_search.execution.ray.adapters import (
    MAX_LOOKAHEAD,
    LedgerScheduler,
    LedgerSearcher,
    ReportsNothing,
    StopWhenAsked,
    TrialCallback,
)
from rebnn_search.execution.ray.address import LOCAL, check_address, check_head, own_token, tokens_unsaid
from rebnn_search.execution.ray.fleet import Fleet
from rebnn_search.execution.ray.growth import Growth
from rebnn_search.execution.ray.room import OVERRIDE, TellsOfWaiting, bundle, check_machine, idle_gpus, refuse_unless_fits, room
from rebnn_search.execution.ray.session_folder import own_session
from rebnn_search.execution.ray.trainable import TASK, RecipeTrial
from rebnn_search.execution.ray.watchdog import watched
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.study.spec import Resources
from rebnn_search.training.custom_parts import allow_too, allowed_parts

T = TypeVar("T")

RAY_LOGS = "ray_logs"
"""Folder of Ray's own logs of a run that raised."""

FOLDER = "RAY_TMPDIR"
"""Environment variable by which Ray learns where its files go."""

ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # MLflow and the ledger keep what CSV and TensorBoard would
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # signals are the command's to handle
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_MAX_PENDING_TRIALS_PG": "1000000",  # the searcher knows how many may wait, also on a cluster that grew
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",  # Tune's snapshot of the experiment is never read
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}


class RayExecutor:
    """Trains trials as Ray Tune's, each in as many actors as it has workers.

    Args:
        folder: Of the search.
        resources: Of a trial.
        address: ``local`` starts a Ray of its own (or uses the one this process has initialised), ``auto`` or ``HOST:PORT`` joins a
            cluster.

    Raises:
        UserError: If there is no such cluster, or this machine lacks what a trial asks for.
    """

    def __init__(self, folder: SearchFolder, resources: Resources, address: str = LOCAL) -> None:
        self._folder, self._resources = folder, resources
        self._own = address == LOCAL and not ray.is_initialized()
        if self._own:
            check_machine(resources)
        self._address = address if ray.is_initialized() else check_address(address)
        self._stack = ExitStack()
        self._stopping: Callable[[], bool] = lambda: False

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(environment(ENVIRONMENT))
            stack.enter_context(_ray(self._address, self._folder.path / RAY_LOGS, lambda: self._stopping()))
            if self._own:  # Ray knows what of the machine is this container's
                refuse_unless_fits(ray.cluster_resources(), self._resources)
            if (unused := idle_gpus(ray.cluster_resources(), self._resources)) is not None:
                notice(unused)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Leave Ray, and end it if it was this executor's own."""
        self._stack.__exit__(kind, error, trace)

    def run(self, controller: Controller) -> None:
        """Run trials until none is left to hand out and none is held, or the controller is ending."""
        resources, self._stopping = self._resources, lambda: controller.stopping and controller.abort_reason is None
        slots = _slots(resources)
        fleet = Fleet(self._folder.name, resources, controller, slots) if self._address != LOCAL else None
        growth = Growth(resources, controller) if self._address != LOCAL else None
        limit = slots if fleet is None else fleet.limit
        with fleet or nullcontext(), growth or nullcontext(), _no_results_missed(), _own_errors():
            tune.run(
                RecipeTrial,
                name="ray",
                storage_path=str(self._folder.path.absolute()),
                num_samples=MAX_LOOKAHEAD,
                resources_per_trial=bundles(resources),
                search_alg=LedgerSearcher(controller, limit),
                scheduler=LedgerScheduler(controller, None if fleet is None else fleet.limit),
                callbacks=[
                    TrialCallback(controller),
                    TellsOfWaiting(resources, shared=not self._own),
                    *(part for part in (fleet, growth) if part is not None),
                ],
                progress_reporter=ReportsNothing(),
                stop=StopWhenAsked(controller),
                max_failures=0,  # the controller starts failed trials again
                reuse_actors=True,
                raise_on_failed_trial=False,
                trial_dirname_creator=lambda trial: f"{trial.config[TASK].number:04d}",
                verbose=0,
            )
        controller.put_back_all()  # Tune says nothing of those that it ended with the experiment

    def call(self, function: Callable[[], T]) -> T:
        """Run a function here if a trial could run here, else on the cluster: it needs a GPU, or this is one of several nodes."""
        resources = self._resources
        if not resources.gpus_per_worker and len(ray.nodes()) == 1:
            threads = torch.get_num_threads()
            try:
                return _on_threads(resources.cpus_per_worker, function)
            finally:
                torch.set_num_threads(threads)
        there = ray.remote(_there).options(num_cpus=resources.cpus_per_worker, num_gpus=resources.gpus_per_worker)
        found: tuple[T, list[str]] = ray.get(there.remote(resources.cpus_per_worker, allowed_parts(), function))
        for message in found[1]:
            warnings.warn(message, Notice, stacklevel=2)
        return found[0]


def _on_threads(threads: int, function: Callable[[], T]) -> T:
    torch.set_num_threads(threads)
    return function()


def _there(threads: int, allowed: Sequence[str], function: Callable[[], T]) -> tuple[T, list[str]]:
    """What a function returns, and what it would have shown the user, who does not see this process."""
    allow_too(allowed)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", Notice)
        found = _on_threads(threads, function)
    return found, [str(one.message) for one in caught if issubclass(one.category, Notice)]


@contextmanager
def _no_results_missed() -> Iterator[None]:
    """Keep Tune from logging, of every trial, that its files of results are missing: it was told to write none."""
    logger = logging.getLogger("ray.tune.analysis.experiment_analysis")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def _own_errors() -> Iterator[None]:
    """Raise what this package raised inside of Tune's loop, of which Tune makes an error with the traceback for its text."""
    try:
        yield
    except TuneError as error:
        if isinstance(error.__context__, OSError | UserError | StorageInternalError):
            raise error.__context__ from None
        raise


def bundles(resources: Resources) -> tune.PlacementGroupFactory:
    """What Ray reserves for a trial: one bundle a worker."""
    return tune.PlacementGroupFactory([bundle(resources) for _ in range(resources.workers_per_trial)], strategy="PACK")


def _slots(resources: Resources) -> Callable[[], int]:
    """How many trials may be at work, asked anew each time: nodes come and go."""

    def limit() -> int:
        there = room(resources)
        return max(1, min(there, resources.max_concurrent or there))

    return limit


@contextmanager
def _ray(address: str, logs: Path, stopping: Callable[[], bool]) -> Iterator[None]:
    if ray.is_initialized():
        yield
        return
    own = address == LOCAL
    with environment(own_token() if own else {}):
        try:
            options: dict[str, Any] = {"address": address, "log_to_driver": False, "logging_level": "warning"}
            if own:
                options["include_dashboard"] = False
                # Ray counts the machine's cores, whatever a batch system lets this process have.
                if OVERRIDE not in os.environ:
                    options["num_cpus"] = whole_cores()
            else:
                check_head(address)
            with tokens_unsaid():
                session = Path(ray.init(**options).address_info["session_dir"])
        except (OSError, RuntimeError, ValueError) as error:
            said = (str(error).splitlines() or ["it does not answer"])[0]
            advice = f"; set {FOLDER} to a directory with a short name, as /tmp" if "AF_UNIX path" in said else ""
            raise UserError(f"--address {address}: no Ray there: {said}{advice}") from error
        with own_session(session, logs) if own else nullcontext():
            try:
                with watched(session if own else None, stopping):
                    yield
            finally:
                ray.shutdown(wait_for_processes=True)
