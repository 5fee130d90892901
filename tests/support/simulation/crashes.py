"""Every crash there is, of searches small enough: at each operation, at each byte of a record's line, and every pair of two."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from support.simulation.disk import Forgets
from support.simulation.faults import Death, Scripted
from support.simulation.kernel import Fault
from support.simulation.workloads import Workload
from support.simulation.world import Violation, World


class Kept(Forgets):
    """A power cut that leaves the first so many changes of names, or of these all but one; and of writes all, or nothing."""

    def __init__(self, first: int | None = None, without: int | None = None, written: bool = False) -> None:
        self._first, self._without, self._written = first, without, written

    def names(self, count: int) -> list[bool]:
        """See the class."""
        first = count if self._first is None else self._first
        return [index < first and index != self._without for index in range(count)]

    def writes(self, count: int, sizes: list[int]) -> tuple[int, int]:
        """See the class."""
        return (count, 0) if self._written else (0, 0)


@dataclass
class Tally:
    """What was tried.

    Attributes:
        tried: Crashes.
        states: Different states of disk, tracking and store that they left.
        violations: Stories of those that did not end well.
    """

    tried: int = 0
    states: set[str] = field(default_factory=set)
    violations: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Count another's too."""
        self.tried += other.tried
        self.states |= other.states
        self.violations += other.violations


@dataclass(frozen=True)
class Operation:
    """One operation of a driver that nothing happens to."""

    number: int
    what: str
    names: int
    """Changes of names that a power cut before it could undo."""
    writes: int

    @property
    def size(self) -> int:
        """Bytes it writes."""
        return int(self.what.rpartition(" ")[2]) if self.what.startswith("disk write") else 0


class _Recording(Scripted):
    """Nothing more happens than is scripted, and the operations of the life after that are noted."""

    def watch(self, world: World) -> list[Operation]:
        """Begin."""
        self._world, self.operations = world, list[Operation]()
        return self.operations

    def at(self, process, kind, what):  # type: ignore[no-untyped-def]
        """Note it."""
        if process.life == len(self.deaths):
            self.operations.append(Operation(process.steps, f"{kind} {what}", *self._world.disk.unsynced()))
        return super().at(process, kind, what)


def operations(path: Path, workload: Workload, deaths: list[Death], eager: bool) -> list[Operation]:
    """The operations of the driver that goes on after some deaths."""
    faults = _Recording(deaths, eager)
    world = World(path, workload, faults)
    found = faults.watch(world)
    world.run()
    shutil.rmtree(path)
    return found


def deaths_at(operation: Operation, *, every_byte: bool = True) -> Iterator[Death]:
    """The deaths at one operation: the process's, and at each byte of a journal's line; the machine's.

    Of what a power cut may leave: none of the changes of names that were not synced, all, all but the last one, two or three, all
    without one of the last three; of the writes none or all.
    """
    step, size = operation.number, operation.size
    yield Death(step, Fault("kill"))
    if size > 1:
        whole = every_byte and "study.journal" in operation.what
        for byte in range(1, size) if whole else sorted({1, size // 2, size - 1}):
            yield Death(step, Fault("kill", byte / size))
    if operation.names or operation.writes or size > 1:
        last = range(max(0, operation.names - 3), operation.names)
        for count in sorted({0, operation.names, *last}):
            yield Death(step, Fault("power"), Kept(count))
        for count in last:
            yield Death(step, Fault("power"), Kept(without=count))
        torn = Fault("power", 0.5 if size > 1 else 0.0)
        yield Death(step, torn, Kept(written=True))
        yield Death(step, torn, Kept(0, written=True))


def crash(path: Path, workload: Workload, deaths: list[Death], eager: bool, tally: Tally) -> bool:
    """Try one crash. Returns whether it left a state that no other had left."""
    tally.tried += 1
    world = World(path, workload, Scripted(deaths, eager))
    try:
        return world.run(len(deaths), tally.states)
    except Violation as error:
        tally.violations.append(f"{deaths}, eager {eager}: {error}")
        return True
    finally:
        shutil.rmtree(path, ignore_errors=True)


def every_crash(path: Path, workload: Workload, *, eager: bool, each: int = 1, every_byte: bool = True) -> Tally:
    """Crash a search once, at each operation, or at every n-th."""
    tally = Tally()
    for operation in operations(path / "whole", workload, [], eager)[::each]:
        for death in deaths_at(operation, every_byte=every_byte):
            crash(path / "w", workload, [death], eager, tally)
    return tally


def first_crashes(path: Path, workload: Workload, *, eager: bool) -> tuple[Tally, list[Death]]:
    """Crash a search at each operation. Returns what was tried, and the deaths that left what no other had left.

    Processes are killed before the operation, and machines lose all that was not synced.
    """
    tally = Tally()
    deaths = [death for one in operations(path / "whole", workload, [], eager) for death in _whole(one)]
    return tally, [death for death in deaths if crash(path / "w", workload, [death], eager, tally)]


def second_crashes(path: Path, workload: Workload, first: list[Death], *, eager: bool) -> Tally:
    """After each of some deaths, crash the driver that goes on at each of its own operations."""
    tally = Tally()
    for death in first:
        for operation in operations(path / "next", workload, [death], eager):
            for second in _whole(operation):
                crash(path / "w", workload, [death, second], eager, tally)
    return tally


def _whole(operation: Operation) -> Iterator[Death]:
    yield Death(operation.number, Fault("kill"))
    if operation.names or operation.writes:
        yield Death(operation.number, Fault("power"))
