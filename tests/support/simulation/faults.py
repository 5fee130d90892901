"""What goes wrong, when: drawn from a seed, or at chosen places."""

from __future__ import annotations

import random
import sys
from dataclasses import dataclass, field

from support.simulation.disk import Forgets
from support.simulation.kernel import Fault, Process

CALM = 5
"""Lives of the driver in which something may go wrong; in those after them nothing does, so that a search comes to its end."""


RIVAL = 1000
"""Added to the life of a driver that begins while another is at work: nothing goes wrong with it."""


class Calm:
    """Nothing goes wrong; threads take turns."""

    lost = False
    back = False
    rival = 0.0
    budget: float | None = None
    stop_after = 0
    shift = 0.0
    pause = 1.0

    def begin(self, life: int) -> None:
        """Be told that a driver begins."""

    def at(self, process: Process, kind: str, what: str) -> Fault | None:
        """Nothing."""
        return None

    def turn(self, ready: int, busy: bool) -> int:
        """The one that has the baton, as long as it goes on."""
        return 0

    def mood(self, number: int, attempt: int, step: int) -> str | None:
        """To train; and a checkpoint now and then."""
        return "checkpoint" if (number + step) % 2 else None

    def sooner(self, count: int) -> int:
        """The first."""
        return 0

    def room(self) -> bool:
        """Whether a full disk has room for the next."""
        return False

    def forgets(self) -> Forgets:
        """What a power cut leaves."""
        return Forgets()


@dataclass(frozen=True)
class Death:
    """Of a driver.

    Attributes:
        step: At which of its operations, from 1.
        fault: ``kill`` or ``power``.
        remains: What is left of what was not synced, if the power went.
    """

    step: int
    fault: Fault
    remains: Forgets = field(default_factory=Forgets)


@dataclass
class Scripted(Calm):
    """The driver dies once in each of its first lives, and nothing else goes wrong.

    Args:
        deaths: One a life.
        eager: Whether a thread that could go on does so before the one that has the baton.
    """

    deaths: list[Death]
    eager: bool = False

    def begin(self, life: int) -> None:
        """Remember which life it is."""
        self._life = life

    def at(self, process: Process, kind: str, what: str) -> Fault | None:
        """The death, in its place."""
        if process.life < len(self.deaths) and process.steps == self.deaths[process.life].step:
            return self.deaths[process.life].fault
        return None

    def turn(self, ready: int, busy: bool) -> int:
        """See `eager`."""
        return ready - 1 if self.eager else 0

    def mood(self, number: int, attempt: int, step: int) -> str | None:
        """The second trial's worker dies once, before its second report."""
        if number == 1 and attempt == 1 and step == 2:
            return "die"
        return super().mood(number, attempt, step)

    def forgets(self) -> Forgets:
        """As given."""
        return self.deaths[self._life].remains


class RandomForgets(Forgets):
    """A power cut that leaves anything that it may."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def names(self, count: int) -> list[bool]:
        """All, none, a beginning or any of the changes."""
        how = self._rng.randrange(4)
        if how < 2:
            return [how == 1] * count
        upto = self._rng.randint(0, count)
        return [self._rng.random() < 0.5 if how == 3 else index < upto for index in range(count)]

    def writes(self, count: int, sizes: list[int]) -> tuple[int, int]:
        """All, none, or a beginning to any byte."""
        how = self._rng.randrange(3)
        whole = 0 if how == 0 else count if how == 1 else self._rng.randint(0, count)
        return whole, self._rng.randint(0, sizes[whole]) if how == 2 and whole < count and sizes[whole] else 0


@dataclass
class _Plan:
    """Of one life of the driver."""

    death: tuple[int, Fault] | None = None
    full: int | None = None
    freeze: tuple[int, Fault] | None = None
    servers: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    """Of tracking and store: how often an answer is refused, is not heard, is slow."""
    away: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Operations between which one of them is away altogether."""
    moods: dict[str, float] = field(default_factory=dict)


class Random(Calm):
    """Anything, from a seed."""

    def __init__(self, seed: int, remote: bool = False) -> None:
        self._rng = random.Random(f"schedule {seed}")
        self._remote = remote
        self._mean = self._rng.choice([20, 80, 250])
        self._threads = self._rng.choice([0.02, 0.3, 0.7])
        self._quiet = self._rng.random() < 0.2  # nothing but deaths
        self._plan = _Plan()

    def begin(self, life: int) -> None:
        """Plan a life."""
        rng, self._plan = self._rng, _Plan()
        self.lost, self.budget, self.stop_after, self.shift, self.pause = (
            False,
            None,
            0,
            0.0,
            rng.choice([0.0, 1.0, 90.0, 4000.0]),
        )
        if life >= CALM:
            self.pause = 90.0
            return
        plan = self._plan
        if rng.random() < 0.8:
            kind = rng.choice(["kill", "power"])
            when = 1 + int(rng.expovariate(1 / self._mean))
            plan.death = when, Fault(kind, rng.choice([0.0, rng.random()]))
        self.lost = self._remote and rng.random() < 0.3
        if self._remote and rng.random() < 0.25:
            plan.freeze = 1 + int(rng.expovariate(1 / self._mean)), Fault("freeze", rng.uniform(30, 300))
            self.rival, self.back = rng.uniform(0, 150), rng.random() < 0.3
        if self._remote and rng.random() < 0.35:
            # Tracking hears more than the store does, and the machine takes it along.
            begin = rng.randint(20, 200)
            plan.away["store"], self.lost = (begin, sys.maxsize), True
            plan.death = begin + rng.randint(20, 200), Fault("kill")
        if self._quiet:
            return
        if rng.random() < 0.1:
            plan.full = rng.randint(1, 300)
        if rng.random() < 0.15:
            self.budget = rng.uniform(5, 60)
        if rng.random() < 0.15:
            self.stop_after = rng.randint(1, 12)
        if rng.random() < 0.3:
            # A lease in a store is judged by the clocks of two machines.
            self.shift = rng.choice([-20.0, 20.0] if self._remote else [-86400.0, -30.0, 30.0, 7200.0])
        for kind in ("tracking", "store"):
            if rng.random() < 0.5:
                plan.servers[kind] = (rng.choice([0.0, 0.05, 0.3]), rng.choice([0.0, 0.05, 0.3]), rng.choice([0.0, 0.05]))
            if rng.random() < 0.15 and kind not in plan.away:
                begin = rng.randint(1, 300)
                plan.away[kind] = begin, begin + rng.randint(5, 400)
        for mood in ("die", "dying", "stall", "twice", "late"):
            plan.moods[mood] = rng.choice([0.0, 0.0, 0.05, 0.2])
        plan.moods["checkpoint"] = rng.choice([0.0, 0.3, 0.3])

    def at(self, process: Process, kind: str, what: str) -> Fault | None:
        """As planned."""
        plan, rng = self._plan, self._rng
        if process.life >= RIVAL:
            return None
        if plan.death is not None and process.steps == plan.death[0]:
            return plan.death[1]
        if plan.freeze is not None and process.steps == plan.freeze[0]:
            return plan.freeze[1]
        if kind == "disk":
            if plan.full is not None and process.steps >= plan.full:
                plan.full = None
                return Fault("full", rng.choice([0.0, rng.random()]))
            return None
        begin, end = plan.away.get(kind, (0, 0))
        if begin <= process.steps < end:
            return Fault("refuse")
        refuse, unheard, slow = plan.servers.get(kind, (0.0, 0.0, 0.0))
        drawn = rng.random()
        if drawn < refuse:
            return Fault("refuse")
        if drawn < refuse + unheard:
            return Fault("unheard")
        return Fault("slow", rng.choice([1.0, 20.0, 100.0])) if drawn < refuse + unheard + slow else None

    def turn(self, ready: int, busy: bool) -> int:
        """Any, more or less often."""
        return 0 if busy and self._rng.random() > self._threads else self._rng.randrange(ready)

    def mood(self, number: int, attempt: int, step: int) -> str | None:
        """As planned."""
        drawn = self._rng.random()
        for mood, share in self._plan.moods.items():
            if drawn < share:
                return mood
            drawn -= share
        return None

    def sooner(self, count: int) -> int:
        """Any."""
        return self._rng.randrange(count)

    def room(self) -> bool:
        """Now and then."""
        return self._rng.random() < 0.3

    def forgets(self) -> Forgets:
        """Anything."""
        return RandomForgets(self._rng)
