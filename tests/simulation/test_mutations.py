"""A guarantee that is broken on purpose is seen to be broken, by schedules that hold without that."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.simulation.mutations import MUTATIONS
from support.simulation.workloads import WORKLOADS
from support.simulation.world import Violation, simulate, undisturbed

SCHEDULES = 200
FIRST = {"lost_reports_kept": 130}
"""The schedule to begin with, where few show it: those before it would only take time."""


@pytest.mark.parametrize("name", MUTATIONS)
def test_it_is_caught(name: str, tmp_path: Path) -> None:
    for workload in WORKLOADS:
        undisturbed(workload)
    with MUTATIONS[name](), pytest.raises(Violation):
        for seed in range(FIRST.get(name, 0), SCHEDULES):
            simulate(tmp_path / "world", WORKLOADS[seed % len(WORKLOADS)], seed)
