"""Random search; one step for all; successive halving, synchronous and not; Hyperband: as published, on recorded curves.

No library simulates these on curves without training code of its own, but Syne Tune, which has its own file beside this one.
"""

from __future__ import annotations

import math
from collections import deque

from banks import Bank
from peers.loop import Method
from traces import permutation


class Random(Method):
    """Configurations in random order, each trained to its end (Bergstra and Bengio 2012)."""

    def __init__(self, bank: Bank, seed: int) -> None:
        self._order = deque(map(int, permutation(bank, seed)))

    def next(self) -> int | None:
        """The next in order."""
        return self._order.popleft() if self._order else None

    def report(self, configuration: int, step: int, value: float) -> bool:
        """Always on."""
        return True


class OneStep(Method):
    """One step for all: ``n`` configurations are trained for one report; then they are trained to their ends, the most promising by
    that report first (Egele et al. 2024, arXiv 2404.04111, who train the best three on).

    Args:
        bank: The bank.
        seed: Of the order.
        n: How many get their first step; at most all.
    """

    def __init__(self, bank: Bank, seed: int, n: int) -> None:
        self._order = deque(map(int, permutation(bank, seed)[:n]))
        self._waits: list[tuple[float, int]] = []
        self._running = 0

    def next(self) -> int | None:
        """A first step, or once all have had theirs the most promising."""
        if self._order:
            self._running += 1
            return self._order.popleft()
        if self._running or not self._waits:
            return None
        found = min(self._waits)
        self._waits.remove(found)
        return found[1]

    def report(self, configuration: int, step: int, value: float) -> bool:
        """Wait after the first."""
        if step > 1:
            return True
        self._running -= 1
        if math.isfinite(value):
            self._waits.append((value, configuration))
        return False


def rungs(least: int, most: int, reduction: int) -> list[int]:
    """The reports at which trials are compared: ``least``, times the reduction factor each, up to ``most``."""
    found = [least]
    while found[-1] * reduction < most:
        found.append(found[-1] * reduction)
    return [*found, most]


class Hyperband(Method):
    """Brackets of synchronous successive halving, one after another, again and again (Li et al. 2018). Of each rung the best
    1/``reduction`` go on once all have come there.

    Args:
        bank: The bank.
        seed: Of the order.
        reduction: Of the number of trials from rung to rung, and the factor between the rungs.
        brackets: The brackets to run in turn, by how many rungs they leave out at the bottom; None for all, the most aggressive first
            (Hyperband). ``[0]`` is successive halving (Jamieson and Talwalkar 2016).
    """

    def __init__(self, bank: Bank, seed: int, reduction: int = 3, brackets: list[int] | None = None) -> None:
        self._order = deque(map(int, permutation(bank, seed)))
        self._rungs, self._reduction = rungs(1, bank.reports, reduction), reduction
        self._brackets = list(range(len(self._rungs))) if brackets is None else brackets
        self._begun = 0
        self._stopped: set[int] = set()
        self._todo: deque[int] = deque()
        self._running: set[int] = set()
        self._there: list[tuple[float, int]] = []
        self._place = 0

    def next(self) -> int | None:
        """One of the bracket's rung; of the next rung, or bracket, when all have come there."""
        if not self._todo and not self._running:
            self._advance()
        if not self._todo:
            return None
        chosen = self._todo.popleft()
        self._running.add(chosen)
        return chosen

    def _advance(self) -> None:
        if self._there and self._place + 1 < len(self._rungs):
            keep = max(1, len(self._there) // self._reduction)
            ranked = [configuration for _, configuration in sorted(self._there)]
            self._stopped |= set(ranked[keep:])
            self._todo, self._place, self._there = deque(ranked[:keep]), self._place + 1, []
            return
        self._place = self._brackets[self._begun % len(self._brackets)]
        self._begun += 1
        above = len(self._rungs) - 1 - self._place
        count = math.ceil(len(self._rungs) / (above + 1) * self._reduction**above)
        self._there = []
        self._todo = deque(self._order.popleft() for _ in range(min(count, len(self._order))))

    def report(self, configuration: int, step: int, value: float) -> bool:
        """Wait at the rung for the others."""
        if step < self._rungs[self._place] and math.isfinite(value):
            return True
        self._running.discard(configuration)
        if math.isfinite(value):
            self._there.append((value, configuration))
        return False

    @property
    def stopped(self) -> frozenset[int]:
        """Those who did not go on from a rung."""
        return frozenset(self._stopped)


def successive_halving(bank: Bank, seed: int, reduction: int = 3) -> Method:
    """Synchronous successive halving from the first report on, bracket after bracket."""
    return Hyperband(bank, seed, reduction, [0])


class ASHA(Method):
    """Asynchronous successive halving with promotion (Li et al. 2020, Algorithm 2): a free worker takes the best trial that is among
    the first 1/``reduction`` of its rung and was not promoted yet, from the highest rung down; or else a new one to the lowest.

    Args:
        bank: The bank.
        seed: Of the order.
        reduction: The reduction factor.
    """

    def __init__(self, bank: Bank, seed: int, reduction: int = 3) -> None:
        self._order = deque(map(int, permutation(bank, seed)))
        self._rungs, self._reduction = rungs(1, bank.reports, reduction), reduction
        self._there: list[list[tuple[float, int]]] = [[] for _ in self._rungs]
        self._promoted: list[set[int]] = [set() for _ in self._rungs]
        self._goal: dict[int, int] = {}

    def next(self) -> int | None:
        """A promotion, or a new one."""
        for place in reversed(range(len(self._rungs) - 1)):
            there = sorted(self._there[place])
            for _, configuration in there[: len(there) // self._reduction]:
                if configuration not in self._promoted[place]:
                    self._promoted[place].add(configuration)
                    self._goal[configuration] = place + 1
                    return configuration
        if not self._order:
            return None
        chosen = self._order.popleft()
        self._goal[chosen] = 0
        return chosen

    def report(self, configuration: int, step: int, value: float) -> bool:
        """Wait at the rung."""
        place = self._goal[configuration]
        if step < self._rungs[place] and math.isfinite(value):
            return True
        self._there[place].append((value, configuration))
        return False


class ASHAStopping(Method):
    """Asynchronous successive halving that stops, as Ray's ``ASHAScheduler`` and Optuna's pruner do: a trial that comes to a rung
    goes on if it is among the first 1/``reduction`` of those that came there before, and is stopped for good if not.

    Args:
        bank: The bank.
        seed: Of the order.
        reduction: The reduction factor.
    """

    def __init__(self, bank: Bank, seed: int, reduction: int = 3) -> None:
        self._order = deque(map(int, permutation(bank, seed)))
        self._reduction = reduction
        self._there: dict[int, list[float]] = {rung: [] for rung in rungs(1, bank.reports, reduction)[:-1]}
        self._stopped: set[int] = set()

    def next(self) -> int | None:
        """The next in order."""
        return self._order.popleft() if self._order else None

    def report(self, configuration: int, step: int, value: float) -> bool:
        """Compare at a rung."""
        there = self._there.get(step)
        if there is None:
            return True
        there.append(value)
        keep = max(1, len(there) // self._reduction)
        if value <= sorted(there)[keep - 1]:
            return True
        if math.isfinite(value):
            self._stopped.add(configuration)
        return False

    @property
    def stopped(self) -> frozenset[int]:
        """Those that were not among the first."""
        return frozenset(self._stopped)
