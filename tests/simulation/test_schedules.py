"""Whatever goes wrong, in whatever order, nothing is lost, done twice or left behind: schedules drawn from a seed.

One that fails names its seed; alone: ``SIMULATION_SEED=123 python -m pytest tests/simulation/test_schedules.py -k one``.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.simulation.workloads import WORKLOADS
from support.simulation.world import simulate

QUICK, MANY = 150, 10_000
CHUNK, LARGE = 15, 500


def run(path: Path, seeds: range) -> None:
    for seed in seeds:
        simulate(path / "world", WORKLOADS[seed % len(WORKLOADS)], seed)


@pytest.mark.skipif("SIMULATION_SEED" not in os.environ, reason="SIMULATION_SEED names one schedule")
def test_one(tmp_path: Path) -> None:
    seed = int(os.environ["SIMULATION_SEED"])
    run(tmp_path, range(seed, seed + 1))


@pytest.mark.parametrize("first", range(0, QUICK, CHUNK))
def test_nothing_is_lost_done_twice_or_left_behind(first: int, tmp_path: Path) -> None:
    run(tmp_path, range(first, first + CHUNK))


@pytest.mark.slow(minutes=2)
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("first", range(QUICK, MANY + QUICK, LARGE))
def test_nor_in_many_more(first: int, tmp_path: Path) -> None:
    run(tmp_path, range(first, min(first + LARGE, MANY + QUICK)))
