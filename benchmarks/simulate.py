"""Crash searches in a simulated world, as often and as thoroughly as is asked, and count what was lost. It must be nothing.

    python benchmarks/simulate.py --schedules 10000 --seed 0 --processes 2   # drawn from seeds
    python benchmarks/simulate.py --crashes                                  # every crash of the small searches
    python benchmarks/simulate.py --pairs                                    # every pair of crashes of the shortest
    python benchmarks/simulate.py --mutations                                # guarantees broken on purpose: each must be caught

Ends with 1 if anything was lost, and prints the schedule of the first that did.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.simulation.crashes import Tally, every_crash, every_pair
from support.simulation.mutations import MUTATIONS
from support.simulation.workloads import SHORTEST, THREE, THREE_AT_ONCE, WORKLOADS
from support.simulation.world import Violation, simulate, undisturbed


def schedule(seed: int) -> tuple[int, int, int, str]:
    """Run one. Returns the seed, its drivers, their operations, and what is wrong."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            world = simulate(Path(folder) / "w", WORKLOADS[seed % len(WORKLOADS)], seed)
        except Violation as error:
            return seed, 0, 0, str(error)
    return seed, world.life + 1, world.kernel.steps, ""


def schedules(seeds: range, processes: int) -> int:
    """Run many. Returns how many failed."""
    began, failed, lives, steps = time.perf_counter(), [], 0, 0
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        for seed, drivers, operations, wrong in pool.imap_unordered(schedule, seeds, chunksize=20):
            lives, steps = lives + drivers, steps + operations
            if wrong:
                failed.append(seed)
                print(wrong if len(failed) == 1 else f"seed {seed} fails too: {wrong.splitlines()[1]}", flush=True)
    print(
        f"{len(seeds):,} schedules, {lives:,} drivers, {steps:,} operations, {len(failed)} with violations, "
        f"{time.perf_counter() - began:.0f} s with {processes} processes"
    )
    return len(failed)


def _enumerate(job: tuple[str, Callable[..., Tally], Any, bool]) -> tuple[str, bool, Tally, float]:
    what, function, workload, eager = job
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        tally = function(Path(folder), workload, eager=eager)
    return f"{what} of {workload.name}", eager, tally, time.perf_counter() - began


def enumerations(jobs: list[tuple[str, Callable[..., Tally], Any, bool]], processes: int) -> int:
    """Try every crash. Returns how many spoiled something."""
    failed = 0
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        for what, eager, tally, seconds in pool.imap_unordered(_enumerate, jobs):
            print(
                f"{what}, {'tracking' if eager else 'driver'} first: {tally.tried:,} tried, {len(tally.states):,} states, "
                f"{len(tally.violations)} violations, {seconds:.0f} s",
                flush=True,
            )
            if tally.violations and not failed:
                print(tally.violations[0])
            failed += len(tally.violations)
    return failed


def mutations(most: int) -> int:
    """Break guarantees. Returns how many were not caught."""
    missed = 0
    for workload in WORKLOADS:
        undisturbed(workload)
    for name, broken in MUTATIONS.items():
        with broken():
            found = next(((seed, wrong) for seed in range(most) if (wrong := schedule(seed)[3])), None)
        missed += found is None
        print(
            f"{name}: " + ("not caught" if found is None else f"caught by seed {found[0]}:{found[1].splitlines()[1]}"),
            flush=True,
        )
    return missed


def main() -> int:
    """Do what is asked."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0], formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--schedules", type=int, default=0, help="how many")
    p.add_argument("--seed", type=int, default=0, help="the first one's")
    p.add_argument("--crashes", action="store_true", help="every crash of the small searches")
    p.add_argument("--pairs", action="store_true", help="every pair of crashes of the shortest search")
    p.add_argument("--mutations", action="store_true", help="break guarantees on purpose")
    p.add_argument("--processes", type=int, default=1)
    args = p.parse_args()
    failed, both = 0, (False, True)
    if args.schedules:
        failed += schedules(range(args.seed, args.seed + args.schedules), args.processes)
    if args.crashes:
        small = (THREE, THREE_AT_ONCE, SHORTEST)
        failed += enumerations([("crashes", every_crash, one, eager) for one in small for eager in both], args.processes)
    if args.pairs:
        failed += enumerations([("pairs of crashes", every_pair, SHORTEST, eager) for eager in both], args.processes)
    if args.mutations:
        failed += mutations(300)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
