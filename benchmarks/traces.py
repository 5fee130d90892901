"""What a replay leaves: every report in the order in which it was made, and what the driver took for it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from banks import Bank, Floats, Indices


@dataclass
class Trace:
    """One method on one bank with one seed. Each report is a row of the lists.

    Attributes:
        configuration: Whose report it is: its index in the bank.
        step: The report's number, from 1.
        value: The objective; infinite where training diverged there.
        time: Simulated seconds.
        stopped: For each configuration that was stopped for good before its end, by pruning: after how many reports in all.
        asked: Configurations begun.
        driver_seconds: CPU seconds of the run: sampler, pruner and record, and the simulation, which is little beside them.
        decisions: How often it was asked anything: for a configuration, or what becomes of a report.
    """

    configuration: list[int] = field(default_factory=list)
    step: list[int] = field(default_factory=list)
    value: list[float] = field(default_factory=list)
    time: list[float] = field(default_factory=list)
    stopped: dict[int, int] = field(default_factory=dict)
    asked: int = 0
    driver_seconds: float = 0.0
    decisions: int = 0

    def __len__(self) -> int:
        return len(self.value)

    def add(self, configuration: int, step: int, value: float, time: float) -> None:
        """Note a report."""
        self.configuration.append(configuration)
        self.step.append(step)
        self.value.append(value)
        self.time.append(time)

    def incumbent(self, budget: int) -> Floats:
        """(budget,) the least objective that any report had, after so many reports in all; infinite before the first."""
        found = np.minimum.accumulate(np.array(self.value)[:budget]) if self.value else np.array([])
        return np.pad(found, (0, budget - len(found)), mode="edge") if len(found) else np.full(budget, np.inf)

    def chosen(self, bank: Bank, budget: int) -> Floats:
        """(budget,) the least objective at the end of a training that came to its end, after so many reports; infinite before."""
        ends = np.array(self.step)[:budget] == bank.reports
        found = np.minimum.accumulate(np.where(ends, np.array(self.value)[:budget], np.inf)) if self.value else np.array([])
        return np.pad(found, (0, budget - len(found)), mode="edge") if len(found) else np.full(budget, np.inf)

    def lost(self, bank: Bank) -> bool:
        """Whether the best configuration was stopped for good."""
        return bank.best in self.stopped


def permutation(bank: Bank, seed: int) -> Indices:
    """The order in which random search takes the bank's configurations, the same for every method with this seed."""
    return np.random.default_rng(seed).permutation(len(bank))
