"""Guarantees broken on purpose: each of these must be caught, or the simulation proves nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import rebnn_search.base.files as files_module
import rebnn_search.execution.controller as controller_module
import rebnn_search.execution.publish as publish_module
import rebnn_search.execution.session as session_module
import rebnn_search.storage.folder as folder_module
import rebnn_search.storage.lock as lock_module
import rebnn_search.study.record as record_module
import rebnn_search.training.recipe as recipe_module
import rebnn_search.training.report_log as log_module
from rebnn_search.execution.controller import Controller
from rebnn_search.execution.task import TrialUpdate
from rebnn_search.tracking.runs import Runs
from rebnn_search.training.report_log import ReportLog, TrackedReport


class _WithoutSync:
    """`os` that syncs nothing."""

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def fsync(self, number: int) -> None: ...


@contextmanager
def reports_not_synced() -> Iterator[None]:
    """A report is told before it is on the disk."""
    with mock.patch.object(log_module, "os", _WithoutSync()):
        yield


@contextmanager
def files_not_synced() -> Iterator[None]:
    """A whole file gets its name before its content is on the disk."""
    with mock.patch.object(files_module, "os", _WithoutSync()):
        yield


@contextmanager
def files_in_place() -> Iterator[None]:
    """Whole files are written under their own name."""

    def write(path: Path, *parts: Any) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            for part in parts:
                file.write(part.encode() if isinstance(part, str) else part)
            file.flush()
            os.fsync(file.fileno())

    with ExitStack() as stack:
        for module in (folder_module, lock_module, controller_module, publish_module, recipe_module):
            stack.enter_context(mock.patch.object(module, "write_atomically", write))
        yield


@contextmanager
def reports_taken_twice() -> Iterator[None]:
    """A report whose step is known is taken for news."""
    append = ReportLog.append

    def always(self: ReportLog, report: TrackedReport) -> bool:
        with mock.patch.object(ReportLog, "last_step", 0):
            return append(self, report)

    with mock.patch.object(ReportLog, "append", always):
        yield


@contextmanager
def told_before_it_is_kept() -> Iterator[None]:
    """A report is acknowledged before it is recorded."""
    update = Controller.update

    def early(self: Any, task: Any, update_: TrialUpdate) -> Any:
        if self._is_live(task) and update_.report is not None:
            kept = TrackedReport.of(update_.report, update_.final)
            if kept.step > self._ledger.reports(task.number).last_step:
                self._observer.reported(task.number, kept)
                with mock.patch.object(self._observer, "reported", lambda number, report: None):
                    return update(self, task, update_)
        return update(self, task, update_)

    with mock.patch.object(Controller, "update", early):
        yield


@contextmanager
def runs_left_open() -> Iterator[None]:
    """A run whose trial ended while tracking was not heard stays open."""
    with mock.patch.object(session_module, "reconcile", lambda *args: None):
        yield


@contextmanager
def torn_line_left() -> Iterator[None]:
    """What a crash left of the record's last line stays there."""

    def only_locks(journal: Path) -> None:
        for lock in journal.parent.glob(f"{journal.name}.lock*"):
            lock.unlink(missing_ok=True)

    with mock.patch.object(record_module, "repair", only_locks):
        yield


@contextmanager
def old_attempts_heeded() -> Iterator[None]:
    """What a worker says that was taken for dead counts."""

    def any_attempt(self: Any, task: Any) -> bool:
        return task.number in self._live

    with mock.patch.object(Controller, "_is_live", any_attempt):
        yield


@contextmanager
def made_without_asking() -> Iterator[None]:
    """A run is made anew by a driver that did not look for it."""
    with mock.patch.object(Runs, "_find", lambda self: None):
        yield


@contextmanager
def lost_reports_kept() -> Iterator[None]:
    """A run goes on telling of reports that went with the machine that made them."""
    with mock.patch.object(Runs, "times", lambda self, run_id, metric: {}):
        yield


MUTATIONS: Mapping[str, Callable[[], AbstractContextManager[None]]] = {
    function.__name__: function
    for function in (
        reports_not_synced, files_not_synced, files_in_place, reports_taken_twice, told_before_it_is_kept, runs_left_open,
        torn_line_left, old_attempts_heeded, made_without_asking, lost_reports_kept,
    )
}  # fmt: skip
