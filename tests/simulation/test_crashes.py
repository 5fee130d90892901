"""Every crash of searches small enough: at each operation on disk and tracking, at each byte of the record's lines, every pair."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.simulation.crashes import Tally, every_crash, first_crashes, second_crashes
from support.simulation.workloads import SHORTEST, THREE, THREE_AT_ONCE, Workload

EAGER = pytest.mark.parametrize("eager", [False, True], ids=["driver first", "tracking first"])


def none_spoils(tally: Tally, least: int) -> None:
    assert not tally.violations, f"{len(tally.violations)} of {tally.tried}:\n" + "\n\n".join(tally.violations[:3])
    assert len(tally.states) >= least


@EAGER
@pytest.mark.parametrize("workload", [THREE, THREE_AT_ONCE], ids=lambda workload: workload.name)
def test_some_crashes(workload: Workload, eager: bool, tmp_path: Path) -> None:
    none_spoils(every_crash(tmp_path, workload, eager=eager, each=83, every_byte=False), 10)


@pytest.mark.slow(minutes=9)
@pytest.mark.timeout(3600)
@EAGER
@pytest.mark.parametrize("workload", [THREE, THREE_AT_ONCE, SHORTEST], ids=lambda workload: workload.name)
def test_every_crash(workload: Workload, eager: bool, tmp_path: Path) -> None:
    none_spoils(every_crash(tmp_path, workload, eager=eager), 100)


@pytest.mark.slow(minutes=30)
@pytest.mark.timeout(7200)
@EAGER
def test_every_pair(eager: bool, tmp_path: Path) -> None:
    tally, different = first_crashes(tmp_path, SHORTEST, eager=eager)
    tally.add(second_crashes(tmp_path, SHORTEST, different, eager=eager))
    none_spoils(tally, 1000)
