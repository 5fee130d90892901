"""Time, threads and processes of a simulation: one thread runs at a time, and who goes on next is chosen, not left to the machine.

Threads are real ones that hand on a baton, so that the program's own code runs as it is. A thread may lose the baton wherever
something outside of the process is touched (`Kernel.step`) or it waits; between two such places it runs alone. Where all wait, time
moves on to the first who waits for a time. So a run is a function of the choices alone.
"""

from __future__ import annotations

import queue
import threading
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

EPOCH = 1_700_000_000.0
TICK = 0.002
"""Seconds that one operation outside of the process takes."""


class Crash(BaseException):
    """The process is no more. What still runs of it while its stack unwinds changes nothing outside."""


class Deadlock(AssertionError):  # noqa: N818 - what happened
    """All threads wait, and none for a time."""


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one operation.

    Attributes:
        kind: ``kill`` of the process, or ``power`` of its machine, before it; ``full`` disk; ``refuse``: a server does nothing;
            ``unheard``: a server does it and its answer is lost; ``slow``.
        kept: Of a write, the share that is done all the same; of ``slow`` and ``freeze``, for which nothing of it runs, seconds.
    """

    kind: str
    kept: float = 0.0


class Faults(Protocol):
    """Where things go wrong, and who goes on next."""

    def at(self, process: Process, kind: str, what: str) -> Fault | None:
        """What goes wrong with an operation; ``process.steps`` counts them from 1."""

    def turn(self, ready: int, busy: bool) -> int:
        """Which of so many threads that could go on does; the first is the one that has the baton, if ``busy``."""


@dataclass(eq=False)
class Process:
    """A simulated process.

    Attributes:
        pid: Its number.
        life: How many drivers began before it.
        host: The name of its machine.
        steps: Operations outside of it so far.
        dead: Whether it is no more, or comes to its end.
        power: Whether its machine went with it.
        interrupted: Whether a signal waits for its main thread.
        frozen_until: Till when nothing of it runs: its machine sleeps.
    """

    pid: int
    life: int
    host: str
    steps: int = 0
    dead: bool = False
    power: bool = False
    interrupted: bool = False
    frozen_until: float = 0.0
    tasks: list[Task] = field(default_factory=list)
    locks: set[str] = field(default_factory=set)


class Task:
    """A thread of a process; of none: the one that looks on."""

    def __init__(self, process: Process | None, name: str) -> None:
        self.process, self.name = process, name
        self.baton = threading.Lock()
        self.baton.acquire()
        self.until: Callable[[], bool] | None = None
        self.deadline: float | None = None
        self.done = False

    def ready(self, now: float) -> bool:
        """Whether it can go on."""
        process = self.process
        if process is not None and process.dead:
            return True
        if process is not None and process.frozen_until > now:
            return False
        if self.until is None or self.until() or (self.deadline is not None and self.deadline <= now):
            return True
        return process is not None and process.interrupted and self is process.tasks[0]

    @property
    def due(self) -> float | None:
        """When it can go on though nothing happens before."""
        thaw = 0.0 if self.process is None else self.process.frozen_until
        if self.until is None or self.until():
            return thaw
        return None if self.deadline is None else max(thaw, self.deadline)


class Kernel:
    """Runs threads one at a time.

    Args:
        faults: What goes wrong.
    """

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.now = 0.0
        self.offsets: dict[str, float] = {}
        """Seconds by which the wall clock of a machine is wrong."""
        self.steps = 0
        self.history: list[str] = []
        """What went wrong, in order."""
        self.trace: deque[str] = deque(maxlen=40)
        self.errors: list[str] = []
        """Tracebacks of threads that ended in an exception."""
        self.watcher = Task(None, "watcher")
        self.tasks = [self.watcher]
        self.current = self.watcher
        self._pids = 1000

    @property
    def process(self) -> Process | None:
        """Whose thread runs; None for the one that looks on."""
        return self.current.process

    def say(self, what: str) -> None:
        """Note what went wrong."""
        process = self.current.process
        where = "" if process is None else f"life {process.life} op {process.steps} "
        self.history.append(f"{self.now:9.3f} {where}{what}")

    def new_process(self, life: int, host: str) -> Process:
        """A process without threads."""
        self._pids += 1
        return Process(self._pids, life, host)

    def spawn(self, process: Process, target: Callable[[], object], name: str) -> Task:
        """Start a thread."""
        task = Task(process, name)

        def body() -> None:
            task.baton.acquire()
            try:
                if not process.dead:
                    target()
            except Crash:
                pass
            except BaseException:
                self.errors.append(f"{name}: {traceback.format_exc()}")
            task.done = True
            self.tasks.remove(task)
            self._hand_on(task)

        self.tasks.append(task)
        process.tasks.append(task)
        threading.Thread(target=body, daemon=True, name=f"simulated {name}").start()
        return task

    def run(self, *tasks: Task) -> None:
        """Wait, from outside, until threads are done."""
        self.wait(lambda: all(task.done for task in tasks))

    def end(self, process: Process) -> None:
        """End what is left of a process."""
        process.dead = True
        self.run(*process.tasks)
        process.locks.clear()

    def check(self) -> None:
        """Raise what a process does not get past: its death, or a signal."""
        process = self.current.process
        if process is None:
            return
        if process.dead:
            raise Crash
        if process.interrupted and self.current is process.tasks[0]:
            process.interrupted = False
            raise KeyboardInterrupt

    def step(self, kind: str, what: str, *, partly: bool = False) -> Fault | None:
        """An operation outside of the process: others may come first, and it may go wrong.

        Args:
            kind: As `Faults.at` has it.
            what: For the history.
            partly: Whether it can be done in part; the caller then does so, and calls `die`.

        Raises:
            Crash: If the process dies before it.
        """
        self.check()
        process = self.current.process
        assert process is not None
        self.now += TICK
        self._yield()
        self.check()
        self.steps += 1
        process.steps += 1
        self.trace.append(f"{self.now:9.3f} life {process.life} op {process.steps} {self.current.name}: {kind} {what}")
        fault = self.faults.at(process, kind, what)
        if fault is not None:
            kept = f" {fault.kept:.2f}" if fault.kept else ""
            self.say(f"{fault.kind}{kept} at {kind} {what}")
        if fault is not None and fault.kind == "freeze":
            process.frozen_until = self.now + fault.kept
            self._switch(self._next())
            self.check()
            return None
        if fault is not None and not (partly and fault.kept):
            self.die(fault)
        return fault

    def die(self, fault: Fault) -> None:
        """End the process, if that is the fault.

        Raises:
            Crash: If it is.
        """
        if fault.kind in ("kill", "power"):
            process = self.current.process
            assert process is not None
            process.dead, process.power = True, fault.kind == "power"
            raise Crash

    def _yield(self) -> None:
        ready = [self.current, *(t for t in self.tasks if t is not self.current and t.ready(self.now))]
        chosen = ready[self.faults.turn(len(ready), True)] if len(ready) > 1 else self.current
        if chosen is not self.current:
            self._switch(chosen)

    def wait(self, until: Callable[[], bool], timeout: float | None = None) -> bool:
        """Let others go on until something is so, or for so many seconds. Returns whether it is so.

        Raises:
            Crash: If the process dies meanwhile.
            Deadlock: If that can never be.
        """
        self.check()
        task = self.current
        task.until, task.deadline = until, None if timeout is None else self.now + timeout
        self._switch(self._next())
        task.until = task.deadline = None
        self.check()
        return until()

    def sleep(self, seconds: float) -> None:
        """Let others go on for so many seconds."""
        self.wait(lambda: False, seconds)

    def _next(self) -> Task:
        ready = [task for task in self.tasks if task.ready(self.now)]
        if not ready:
            times = [due for task in self.tasks if (due := task.due) is not None]
            if not times:
                self.errors.append("all threads wait: " + ", ".join(task.name for task in self.tasks))
                for task in self.tasks:
                    if task.process is not None:
                        task.process.dead = True
            else:
                self.now = max(self.now, min(times))
            ready = [task for task in self.tasks if task.ready(self.now)]
            if not ready:
                raise Deadlock(self.errors[-1])
        return ready[self.faults.turn(len(ready), False)] if len(ready) > 1 else ready[0]

    def _switch(self, chosen: Task) -> None:
        before = self.current
        if chosen is before:
            return
        self.current = chosen
        chosen.baton.release()
        before.baton.acquire()

    def _hand_on(self, done: Task) -> None:
        chosen = self._next()
        self.current = chosen
        chosen.baton.release()

    # What the program's modules see in place of the standard library's.

    def wall(self) -> float:
        """Seconds since 1970, by the clock of the machine."""
        process = self.current.process
        return EPOCH + self.now + (self.offsets.get(process.host, 0.0) if process is not None else 0.0)

    def time_module(self) -> Any:
        """In place of `time`."""
        kernel = self

        class Time:
            time = staticmethod(lambda: kernel.wall())
            monotonic = staticmethod(lambda: kernel.now)
            sleep = staticmethod(lambda seconds: kernel.sleep(seconds))

        return Time

    def datetime_class(self) -> Any:
        """In place of `datetime.datetime`."""
        kernel = self

        class Datetime(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
                # Never a whole second: its text would be shorter.
                whole = datetime.fromtimestamp(int(kernel.wall()), UTC) + timedelta(microseconds=123456)
                return whole if tz is not None else whole.replace(tzinfo=None)

        return Datetime

    def threading_module(self) -> Any:
        """In place of `threading`."""
        kernel = self

        class Event:
            def __init__(self) -> None:
                self._is = False

            def set(self) -> None:
                self._is = True

            def is_set(self) -> bool:
                return self._is

            def wait(self, timeout: float | None = None) -> bool:
                return kernel.wait(lambda: self._is, timeout)

        class Thread:
            def __init__(self, target: Any, args: tuple[Any, ...] = (), name: str = "", daemon: bool = False) -> None:
                self._target, self._args, self._name = target, args, name

            def start(self) -> None:
                kernel.check()
                process = kernel.current.process
                assert process is not None
                self._task = kernel.spawn(process, lambda: self._target(*self._args), self._name)

            def join(self, timeout: float | None = None) -> None:
                kernel.wait(lambda: self._task.done, timeout)

            def is_alive(self) -> bool:
                return not self._task.done

        class Main:
            @property
            def ident(self) -> int:
                process = kernel.current.process
                assert process is not None
                return process.pid

        class Lock:
            def __init__(self) -> None:
                self._held = False

            def __enter__(self) -> None:
                kernel.wait(lambda: not self._held, None)
                self._held = True

            def __exit__(self, *error: object) -> None:
                self._held = False

        class Threading:
            pass

        Threading.Event, Threading.Thread, Threading.main_thread = Event, Thread, staticmethod(Main)  # type: ignore[attr-defined]
        Threading.Lock = Lock  # type: ignore[attr-defined]
        return Threading

    def queue_module(self) -> Any:
        """In place of `queue`."""
        kernel = self

        class Queue:
            def __init__(self) -> None:
                self._items: deque[Any] = deque()

            def put(self, item: Any) -> None:
                self._items.append(item)

            def get(self, timeout: float | None = None) -> Any:
                if not kernel.wait(lambda: bool(self._items), timeout):
                    raise queue.Empty
                return self._items.popleft()

        class Module:
            Empty = queue.Empty

        Module.Queue = Queue  # type: ignore[attr-defined]
        return Module

    def signal_module(self) -> Any:
        """In place of `signal`: what is sent arrives at the main thread's next operation."""
        kernel = self

        class Signal:
            SIGINT = 2

            @staticmethod
            def pthread_kill(thread: int, number: int) -> None:
                process = kernel.current.process
                assert process is not None
                process.interrupted = True

        return Signal
