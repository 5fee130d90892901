"""A search from beginning to end in a world where things go wrong, and what must be so when it is over."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import random
import shutil
import socket
import sys
import traceback
import uuid
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any
from unittest import mock

import optuna
import optuna.storages.journal._file as optuna_file
import optuna.storages.journal._storage as optuna_storage
import yaml
from filelock import Timeout
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

import rebnn_search.execution.budget as budget_module
import rebnn_search.execution.driver_runs as driver_runs_module
import rebnn_search.execution.model as model_module
import rebnn_search.execution.opening as opening_module
import rebnn_search.execution.parent_run as parent_module
import rebnn_search.execution.session as session_module
import rebnn_search.storage.fetch as fetch_module
import rebnn_search.storage.lease as lease_module
import rebnn_search.storage.leftovers as leftovers_module
import rebnn_search.storage.locate as locate_module
import rebnn_search.storage.lock as lock_module
import rebnn_search.storage.object_store as store_module
import rebnn_search.storage.remote_sync as sync_module
import rebnn_search.study.draft as draft_module
import rebnn_search.tracking.runs as runs_module
import rebnn_search.tracking.sending as sending_module
import rebnn_search.tracking.tracker as tracker_module
import rebnn_search.training.report_log as log_module
from rebnn_search.base.errors import UserError
from rebnn_search.execution.budget import Budget
from rebnn_search.execution.events import SearchObserver
from rebnn_search.execution.opening import open_search
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.study.spec import Params
from rebnn_search.training.report_log import TrackedReport, read_reports
from support.simulation.disk import Calls, Disk
from support.simulation.faults import RIVAL, Calm, Random
from support.simulation.kernel import Crash, Kernel, Process, Task
from support.simulation.store import SCHEME, Bucket, Objects, Store
from support.simulation.tracking import Client, TrackingServer
from support.simulation.workers import REPORTS, Workers, diverges, loss
from support.simulation.workloads import Workload

NAME = "s"
LIVES = 25
"""So often a driver may begin."""
OTHERS = ("is being driven by", "another driver recorded more", "was silent for too long")
"""What is said where another driver is at work, or was."""
URI = f"{SCHEME}bucket/searches"
Record = list[tuple[Any, ...]]


class Violation(AssertionError):  # noqa: N818 - what it is
    """Something was lost, done twice, or left behind."""


class _Watch(SearchObserver):
    """Notes what was acknowledged: said to whoever watches."""

    def __init__(self, world: World, acknowledged: dict[tuple[int, int], TrackedReport], ended: dict[int, str]) -> None:
        self._world, self._acknowledged, self._ended = world, acknowledged, ended
        self._left = world.faults.stop_after
        self.stop: Any = None

    def started(self, number: int, name: str, params: Params, resumed_at: int) -> None:
        if number in self._ended:
            self._world.problems.append(f"trial {number} was started after it had ended {self._ended[number]}")
        if self._world.names.setdefault(number, name) != name:
            self._world.problems.append(f"trial {number} was {self._world.names[number]}, is {name}")

    def reported(self, number: int, report: TrackedReport) -> None:
        if (number, report.step) in self._acknowledged:
            self._world.problems.append(f"report {report.step} of trial {number} was told twice")
        self._acknowledged[number, report.step] = report
        self._left -= 1
        if self._left == 0:
            self.stop()

    def finished(self, number: int, state: str, reason: str | None, summary: Mapping[str, float]) -> None:
        if number in self._ended:
            self._world.problems.append(f"trial {number} ended twice")
        self._ended[number] = state


class World:
    """Machines, a tracking server, an object store, and drivers that begin one after another until the search is done.

    Args:
        path: An empty directory.
        workload: The search.
        faults: What goes wrong.
        ordered: As of `Disk`.
    """

    def __init__(self, path: Path, workload: Workload, faults: Calm, *, ordered: bool = False) -> None:
        self.workload, self.faults, self._path, self._ordered = workload, faults, path, ordered
        self.kernel = Kernel(faults)
        self.server, self.bucket = TrackingServer(), Bucket()
        self.host = "m0"
        self.disks = {self.host: Disk(path / self.host, ordered)}
        self.calls = Calls(self.kernel, self.disks, faults.room)
        self.problems: list[str] = []
        self.acknowledged: dict[tuple[int, int], TrackedReport] = {}
        self.ended: dict[int, str] = {}
        self.names: dict[int, str] = {}
        self.life = 0
        self.raced = False
        self.said = StringIO()
        self._uuids = random.Random(0)

    @property
    def disk(self) -> Disk:
        """Of the machine that the driver is on."""
        return self.disks[self.host]

    @property
    def storage(self) -> str:
        """``--storage``."""
        return URI if self.workload.remote else str(self.disk.root / "results")

    @property
    def folder(self) -> SearchFolder:
        """The search's folder on the machine that the driver is on."""
        return SearchFolder((self.disk.root / ("copy" if self.workload.remote else "results")) / NAME)

    def run(self, deaths: int = 0, seen: set[str] | None = None) -> bool:
        """Let drivers begin until the search is done, and see that all is well.

        Args:
            deaths: After so many lives,
            seen: the state is added to these, and if it was there, what comes is known.

        Returns:
            Whether it was not.

        Raises:
            Violation: If not all is well.
        """
        with self._installed():
            while True:
                process, outcome = self.begin()
                if self.problems or (outcome == "done" and not self._troubled):
                    break
                self.end(process)
                if seen is not None and self.life == deaths:
                    state = self.fingerprint()
                    if state in seen:
                        return False
                    seen.add(state)
                if self.life == LIVES:
                    self.problems.append(f"not done after {LIVES} drivers: {outcome}")
                    break
        if not self.problems:
            self.problems += self.violations()
        if self.problems:
            raise Violation(self.story())
        return True

    def fingerprint(self) -> str:
        """Of all that outlives a driver."""
        found = hashlib.sha256(self.disk.fingerprint().encode())
        found.update(repr((self.server.experiments, self.server.runs, self.bucket.objects)).encode())
        return found.hexdigest()

    def begin(self) -> tuple[Process, str]:
        """Let one driver begin, and see how it ends."""
        self.faults.begin(self.life)
        steps = len(self.kernel.history)
        process = self.kernel.new_process(self.life, self.host)
        self.kernel.offsets[self.host] = self.kernel.offsets.get(self.host, 0.0) + self.faults.shift
        outcomes: list[str] = []
        task = self.kernel.spawn(process, lambda: outcomes.append(self._drive()), "driver")
        self.kernel.wait(lambda: task.done or process.frozen_until > self.kernel.now)
        if not task.done:
            self._race(task)
        self.kernel.end(process)
        outcome = outcomes[0] if outcomes else "died"
        self._troubled = len(self.kernel.history) > steps
        self.kernel.history.append(f"{self.kernel.now:9.3f} life {self.life}: {outcome}")
        self.problems += self.kernel.errors
        self.kernel.errors = []
        return process, outcome

    def end(self, process: Process) -> None:
        """What comes after a driver: the power is back, the disk has room, the machine was another's."""
        self.disk.full = False
        if process.power:
            self.disk.cut_power(self.faults.forgets())
        if self.faults.lost:
            self._lose_machine()
        self.kernel.now += self.faults.pause
        self.life += 1

    def _new_machine(self) -> str:
        host = f"m{len(self.disks)}"
        self.disks[host] = Disk(self._path / host, self._ordered)
        return host

    def _race(self, task: Task) -> None:
        """Let another driver begin, on another machine, while the first one's sleeps."""
        first, host = self.host, self._new_machine()
        rival = self.kernel.new_process(self.life + RIVAL, host)
        said = self.acknowledged, self.ended
        self.acknowledged, self.ended = dict(self.acknowledged), dict(self.ended)
        outcomes: list[str] = []

        def drive() -> None:
            self.kernel.sleep(self.faults.rival)
            outcomes.append(self._drive(_Watch(self, {}, {})))

        self.kernel.run(task, self.kernel.spawn(rival, drive, "rival"))
        self.kernel.end(rival)
        self.raced = True
        self.kernel.history.append(f"{self.kernel.now:9.3f} a rival on {host}: {outcomes[0]}")
        self.acknowledged, self.ended = said
        if not outcomes[0].startswith("told") and not self.faults.back:
            self.host = host
        self._forget_what_is_not_stored()
        self.kernel.trace.append(f"from {first} to {self.host}")

    def _lose_machine(self) -> None:
        """Go on on another, which knows what the store knows."""
        self.host = self._new_machine()
        self.kernel.history.append(f"{self.kernel.now:9.3f} the machine is lost")
        self._forget_what_is_not_stored()

    def _forget_what_is_not_stored(self) -> None:
        """What was acknowledged on a machine that is no more is as good as what it had sent."""
        base = f"{URI.removeprefix(SCHEME)}/{NAME}/"
        stored = {name.removeprefix(base): content for name, (content, _) in self.bucket.objects.items()}
        made = _joined(stored)[0].count(b'"op_code":4,')
        kept = {
            (n, report["step"], report["timestamp"])
            for n in range(made)
            for report in map(json.loads, stored.get(f"trials/{n:04d}/reports.jsonl", b"").splitlines())
        }
        said = self.acknowledged.items()
        self.acknowledged = {(n, step): report for (n, step), report in said if (n, step, report.timestamp) in kept}
        self.names = {number: name for number, name in self.names.items() if number < made}
        self.ended = {}

    def _drive(self, watch: _Watch | None = None) -> str:
        """One driver's life. Returns how it ended."""
        watch = watch or _Watch(self, self.acknowledged, self.ended)
        try:
            session = open_search(
                "space.yaml", name=NAME, storage=self.storage, tracking_uri="http://tracking", or_start=True,
                executor=lambda: Workers(self.kernel, self.faults, self.workload.slots, self.problems),
            )  # fmt: skip
            budget = None if self.faults.budget is None else Budget(self.faults.budget)
            result = session.run(watch, budget=budget, on_start=lambda stop: setattr(watch, "stop", stop))
        except UserError as error:
            return self._told(str(error))
        except Crash:
            raise
        except KeyboardInterrupt:
            if self.workload.remote:
                return "interrupted"
            self.problems.append("the driver was interrupted")
            return "interrupted"
        except BaseException:
            self.problems.append(f"the driver ended in\n{traceback.format_exc()}")
            return "raised"
        if result.interrupted or result.out_of_time:
            return "stopped"
        return "done" if result.untracked is None else f"untracked: {result.untracked}"

    def _told(self, message: str) -> str:
        """A driver that ended in a message: whether there was reason to."""
        reasons = {
            "disk": ["No space left on device"],
            "tracking": ["--tracking-uri http://tracking: cannot be used"],
            "store": ["cannot be written", "cannot be read"],
        }
        history = "\n".join(self.kernel.history)
        for kind, words in reasons.items():
            if any(word in message for word in words) and f" at {kind} " in history:
                return f"told: {message}"
        if "the time budget" in message and self.faults.budget is not None:
            return "out of time"
        if self.workload.remote and any(words in message for words in OTHERS):
            return f"told: {message}"
        self.problems.append(f"the driver was refused: {message}")
        return "refused"

    # What must be so in the end.

    def record(self) -> Record:
        """What the ledger has of every trial, without times and ids."""
        storage = JournalStorage(JournalFileBackend(str(self.folder.journal)))
        trials = storage.get_all_trials(storage.get_study_id_from_name(NAME), deepcopy=False)
        return [
            (t.number, t.state.name, t.params, t.value, t.intermediate_values, t.user_attrs, t.system_attrs) for t in trials
        ]

    def violations(self) -> list[str]:
        """What is not as it must be at the end of a search."""
        folder, search = self.folder, self.workload.search()
        record = self.record()
        found = [] if [row[0] for row in record] == list(range(search.trials)) else [f"trials {[row[0] for row in record]}"]
        if self.workload.slots == 1 and (whole := undisturbed(self.workload)) != record:
            found += [f"the ledger has\n    {a}\n  in place of\n    {b}" for a, b in zip(record, whole, strict=False) if a != b]
        for number, state, params, value, values, _, _ in record:
            found += self._trial_violations(number, state, params, value, values)
        for number, state in self.ended.items():
            if number >= len(record) or record[number][1] != state:
                found.append(f"trial {number} had ended {state}")
        states, only = {row[0]: row[1] for row in record}, folder.search_id if len(self.disks) > 1 else None
        found += self.server.violations(states, raced=self.raced, only=only)
        found += self._orphans()
        result = json.loads(folder.result_file.read_text(encoding="utf-8"))
        if [row["state"] for row in result["trials"]] != [row[1] for row in record]:
            found.append("result.json is not of this search")
        return found + (self._store_violations() if self.workload.remote else [])

    def _trial_violations(
        self, number: int, state: str, params: Mapping[str, Any], value: float | None, values: Mapping[int, float]
    ) -> list[str]:
        name, found = f"trial {number}", []
        given = {**params}
        expected = {step: loss(given, step) for step in values}
        if dict(values) != expected or sorted(values) != list(range(1, len(values) + 1)):
            found.append(f"{name} has the values {dict(values)} in place of {expected}")
        if state == "COMPLETE" and (len(values) != REPORTS or value != values[REPORTS]):
            found.append(f"{name} is complete with {len(values)} reports")
        if state == "FAIL" and not diverges(given, len(values) + 1):
            found.append(f"{name} failed for no reason")
        if state not in ("COMPLETE", "PRUNED", "FAIL"):
            found.append(f"{name} is {state}")
        reports = read_reports(self.folder.report_file(number))
        if {report.step: report.metrics["val/loss"] for report in reports} != dict(values):
            found.append(f"{name} has {len(values)} reports in the ledger, {len(reports)} in its file")
        for (of, step), told in self.acknowledged.items():
            if of == number and told not in reports:
                found.append(f"report {step} of {name} was acknowledged, and is not in its file")
        search_id = self.folder.search_id
        for run in self.server.runs.values():
            if run.lifecycle != "active" or run.tags.get("rebnn_search.search") != search_id:
                continue
            if run.tags.get("rebnn_search.trial") == str(number):
                tracked = {(step, time, v) for key, time, step, v in run.points if key == "val/loss" and step}
                wanted = {(report.step, report.timestamp, report.metrics["val/loss"]) for report in reports}
                if tracked != wanted and not self.raced:
                    found.append(f"{name}: tracking has {sorted(tracked)}, the file {sorted(wanted)}")
                if run.params != {key: str(v) for key, v in params.items()}:
                    found.append(f"{name}: tracking has the parameters {run.params}")
        return found

    def _orphans(self) -> list[str]:
        """Files that nothing will ever ask for."""
        known = {
            "search.yaml", "study.journal", "best.yaml", "model.safetensors", "result.json", "driver.lock", "driver.log",
            "recipe.yaml", "reports.jsonl", "attempts.jsonl", "error.txt", "error-before.txt",
        }  # fmt: skip
        found = []
        for path in sorted(self.folder.path.rglob("*")):
            name = path.relative_to(self.folder.path)
            aside = any(".lost-" in part for part in name.parts)
            if path.is_file() and not aside and path.name not in known and path.parent.name != "checkpoints":
                found.append(f"left behind: {name}")
        return found

    def _store_violations(self) -> list[str]:
        base = f"{URI.removeprefix(SCHEME)}/{NAME}/"
        stored = {
            name.removeprefix(base): content for name, (content, _) in self.bucket.objects.items() if name.startswith(base)
        }
        found = ["the lease was not given back"] if "driver.json" in stored else []
        journal, hole = _joined(stored)
        if hole is not None:
            found.append(f"the stored journal has a hole before {hole}")
        if journal != self.folder.journal.read_bytes():
            found.append("the stored journal is another")
        for path in fetch_module.travelling_files(self.folder.path):
            name = path.relative_to(self.folder.path).as_posix()
            here = path.read_bytes()
            if path.suffix == ".jsonl":  # a power cut tears a last line, which is passed over here and not sent
                here = fetch_module.whole_lines(here)
            if stored.get(name) != here and ".lost-" not in name:
                found.append(f"the stored {name} is another")
        return found

    def story(self) -> str:
        """What happened and what is wrong."""
        return "\n".join(
            [
                f"{self.workload.name}: {len(self.problems)} violations",
                *(f"  {problem}" for problem in self.problems[:12]),
                "schedule:",
                *(f"  {line}" for line in self.kernel.history),
                "last operations:",
                *(f"  {line}" for line in list(self.kernel.trace)[-12:]),
                "said:",
                *(f"  {line}" for line in self.said.getvalue().splitlines()[-12:]),
            ]
        )

    # The world as the program sees it.

    @contextmanager
    def _installed(self) -> Iterator[None]:
        kernel, workload = self.kernel, self.workload
        time, threads, queues = kernel.time_module(), kernel.threading_module(), kernel.queue_module()
        datetime = kernel.datetime_class()

        def store(uri: str) -> Store:
            return Store(kernel, self.bucket, uri)

        def copy(uri: str) -> Path:
            assert kernel.process is not None
            return self.disks[kernel.process.host].root / "copy"

        def pid() -> int:
            return os_pid if kernel.process is None else kernel.process.pid

        def host() -> str:
            return os_host if kernel.process is None else kernel.process.host

        def alive(number: int, signal: int) -> None:
            raise ProcessLookupError

        @contextmanager
        def log_file(log: Path) -> Iterator[None]:
            os.close(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644))
            yield

        os_pid, os_host = os.getpid(), socket.gethostname()
        places: list[tuple[Any, dict[str, Any]]] = [
            (tracker_module, {"threading": threads, "queue": queues, "time": time}),
            (sending_module, {"time": time}),
            (runs_module, {"time": time, "make_client": lambda uri, write=False: Client(kernel, self.server)}),
            (runs_module.Runs, {"check_files": lambda runs: None}),  # the server keeps what it is given
            (log_module, {"time": time}),
            (budget_module, {"time": time}),
            (lease_module, {"time": time, "conditional": Objects, "datetime": datetime}),
            (sync_module, {"time": time, "threading": threads, "signal": kernel.signal_module(), "ObjectStore": store}),
            (fetch_module, {"ObjectStore": store, "working_copy": copy}),
            (leftovers_module, {"ObjectStore": store}),
            (store_module, {"time": time, "PAUSES": (5.0,), "_reached": set()}),
            (locate_module, {"ObjectStore": store, "working_copy": copy}),
            (lock_module, {"FileLock": lambda path: _Lock(kernel, str(path)), "datetime": datetime}),
            (model_module, {"_log_flavour": lambda *args: None}),
            (draft_module, {"datetime": datetime}),
            (optuna_storage, {"datetime": datetime}),
            (optuna_file, {"time": time}),
            (session_module, {"redirect_output": log_file, "check_answers": lambda uri: None}),
            (opening_module, {"check_uri": lambda uri: uri, "load_search": lambda *args: workload.search()}),
            (parent_module, {"SystemMetrics": _NoMetrics}),
            (driver_runs_module, {"_this_run": lambda *args: {"run": kernel.process.pid}}),
            (os, {"getpid": pid, "kill": alive}),
            (socket, {"gethostname": host}),
            (yaml, {"safe_dump": _dumped, "safe_load": _loaded}),
            (uuid, {"uuid4": lambda: uuid.UUID(int=self._uuids.getrandbits(128), version=4)}),
        ]  # fmt: skip
        with ExitStack() as stack:
            for module, values in places:
                stack.enter_context(mock.patch.multiple(module, **values))
            stack.enter_context(self.calls.intercepted())
            stack.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
            stack.enter_context(redirect_stderr(self.said))
            yield


def _joined(stored: Mapping[str, bytes]) -> tuple[bytes, str | None]:
    """The journal of its segments up to the first hole, and what comes after that."""
    journal = b""
    for name in sorted(name for name in stored if name.startswith("study.journal.d/")):
        offset = int(name.rpartition("/")[2])
        if not stored[name]:
            continue
        if offset > len(journal):
            return journal, name
        journal += stored[name][len(journal) - offset :]
    return journal, None


class _NoMetrics:
    """In place of `rebnn_search.tracking.system.SystemMetrics`."""

    def __init__(self, uri: str) -> None: ...

    def start(self, runs: Any) -> None: ...

    def stop(self) -> None: ...


class _Lock:
    """In place of `filelock.FileLock`: held by a process, and free when that is no more."""

    def __init__(self, kernel: Kernel, path: str) -> None:
        self._kernel, self._path = kernel, path

    def acquire(self, timeout: float = 0) -> None:
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644))
        process = self._kernel.process
        assert process is not None
        if any(self._path in task.process.locks for task in self._kernel.tasks if task.process is not None):
            raise Timeout(self._path)
        process.locks.add(self._path)

    def release(self) -> None:
        process = self._kernel.process
        assert process is not None
        process.locks.discard(self._path)


_DUMPED: dict[str, str] = {}
_LOADED: dict[str, Any] = {}
_dump, _load = yaml.safe_dump, yaml.safe_load


def _dumped(data: Any, **options: Any) -> str:
    """`yaml.safe_dump`, which takes longer than all the rest, done once for each thing."""
    key = repr((data, options))
    if key not in _DUMPED:
        _DUMPED[key] = _dump(data, **options)
    return _DUMPED[key]


def _loaded(text: str) -> Any:
    """`yaml.safe_load`, likewise."""
    if text not in _LOADED:
        _LOADED[text] = _load(text)
    return copy.deepcopy(_LOADED[text])


_WHOLE: dict[str, Record] = {}


def undisturbed(workload: Workload) -> Record:
    """The record of a search to which nothing happened."""
    if workload.name not in _WHOLE:
        from tempfile import TemporaryDirectory

        with TemporaryDirectory() as path:
            world = World(Path(path) / "w", workload, Calm())
            with world._installed():
                process, outcome = world.begin()
                world.end(process)
            assert outcome == "done" and not world.problems, world.story()
            _WHOLE[workload.name] = world.record()
    return _WHOLE[workload.name]


def simulate(path: Path, workload: Workload, seed: int) -> World:
    """Run one schedule.

    Raises:
        Violation: With the seed and what happened.
    """
    world = World(path, workload, Random(seed, workload.remote), ordered=seed % 3 == 0)
    try:
        world.run()
    except BaseException as error:
        raise Violation(f"seed {seed}: {error}") from None
    finally:
        shutil.rmtree(path, ignore_errors=True)
    return world


optuna.logging.set_verbosity(optuna.logging.ERROR)
sys.setswitchinterval(0.005)
