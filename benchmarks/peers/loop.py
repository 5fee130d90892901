"""A search method without this project: what it is asked, and a clock to run it by."""

from __future__ import annotations

import heapq
import time
from abc import ABC, abstractmethod

from banks import Bank
from traces import Trace


class Method(ABC):
    """Chooses what is trained next. It knows of the bank how many configurations and reports there are, and what it is told."""

    @abstractmethod
    def next(self) -> int | None:
        """The configuration that a free worker trains on from where it is, begun or not; None to wait for others."""

    @abstractmethod
    def report(self, configuration: int, step: int, value: float) -> bool:
        """Hear of a report: ``step`` from 1, an infinite value where training diverged. Returns whether the worker goes on with it;
        what diverged or came to its end does not.
        """

    @property
    def stopped(self) -> frozenset[int]:
        """Configurations that were stopped for good before their end."""
        return frozenset()


def simulate(method: Method, bank: Bank, workers: int = 1, budget: int = 1000) -> Trace:
    """Run a method on so many workers until so many reports were made, or nothing is left to do.

    Args:
        method: Fresh.
        bank: The recorded curves.
        workers: Trainings at a time.
        budget: Reports in all.
    """
    trace = Trace()
    began = time.process_time()
    _run(method, bank, workers, budget, trace)
    trace.driver_seconds = time.process_time() - began
    return trace


def _run(method: Method, bank: Bank, workers: int, budget: int, trace: Trace) -> None:
    now, order = 0.0, 0
    at = [0] * len(bank)  # reports that each configuration has
    events: list[tuple[float, int, int]] = []
    known: set[int] = set()
    while True:
        while len(events) < workers:
            chosen = method.next()
            trace.decisions += 1
            if chosen is None:
                break
            trace.asked += at[chosen] == 0
            heapq.heappush(events, (now + bank.seconds[chosen, at[chosen]], order, chosen))
            order += 1
        if not events:
            return
        now, place, configuration = heapq.heappop(events)
        at[configuration] = step = at[configuration] + 1
        recorded = float(bank.values[configuration, step - 1])
        value = recorded if recorded == recorded else float("inf")
        trace.add(configuration, step, value, now)
        goes_on = method.report(configuration, step, value)
        trace.decisions += 1
        for lost in method.stopped - known:
            trace.stopped[lost] = len(trace)
        known |= method.stopped
        if len(trace) >= budget:
            return
        if goes_on and value < float("inf") and step < bank.reports:
            heapq.heappush(events, (now + bank.seconds[configuration, step], place, configuration))
