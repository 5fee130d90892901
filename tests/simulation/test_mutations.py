"""A guarantee that is broken on purpose is seen to be broken, by schedules that hold without that."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.simulation.mutations import MUTATIONS
from support.simulation.workloads import WORKLOADS
from support.simulation.world import Violation, simulate, undisturbed

SCHEDULES = 60


@pytest.mark.parametrize("name", MUTATIONS)
def test_it_is_caught(name: str, tmp_path: Path) -> None:
    for workload in WORKLOADS:
        undisturbed(workload)
    with MUTATIONS[name](), pytest.raises(Violation):
        for seed in range(SCHEDULES):
            simulate(tmp_path / "world", WORKLOADS[seed % len(WORKLOADS)], seed)
