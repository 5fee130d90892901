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
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.simulation.crashes import Tally, every_crash, first_crashes, second_crashes
from support.simulation.faults import Death
from support.simulation.mutations import MUTATIONS
from support.simulation.workloads import SHORTEST, THREE, THREE_AT_ONCE, WORKLOADS, Workload
from support.simulation.world import Violation, simulate, undisturbed

PARTS = 30
"""Of the pairs of crashes: each ends in minutes and is told."""


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


@dataclass(frozen=True)
class Job:
    """Crashes of a small search: of every single one, or, after some first ones, of every second."""

    workload: Workload
    eager: bool
    first: tuple[Death, ...] = ()

    def __str__(self) -> str:
        kind = "second crashes" if self.first else "crashes"
        return f"{kind} of {self.workload.name}, {'tracking' if self.eager else 'driver'} first"

    def run(self) -> tuple[str, Tally, float]:
        """Try them. Returns what, what came of it, and seconds of a core."""
        began = time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            if self.first:
                tally = second_crashes(Path(folder), self.workload, list(self.first), eager=self.eager)
            else:
                tally = every_crash(Path(folder), self.workload, eager=self.eager)
        return str(self), tally, time.process_time() - began


def every_pair(workload: Workload) -> tuple[list[Job], int]:
    """Crash a search once, everywhere. Returns the jobs that go on from what that leaves, and how many spoiled something."""
    jobs, failed = [], 0
    for eager in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            tally, different = first_crashes(Path(folder), workload, eager=eager)
        print(f"{Job(workload, eager)}: {tally.tried:,} tried, {len(different):,} states to go on from", flush=True)
        failed += told(tally)
        jobs += [Job(workload, eager, tuple(different[part::PARTS])) for part in range(min(PARTS, len(different)))]
    return jobs, failed


def told(tally: Tally) -> int:
    """Print the first violation. Returns how many there are."""
    if tally.violations:
        print(tally.violations[0], flush=True)
    return len(tally.violations)


def enumerations(jobs: list[Job], processes: int) -> int:
    """Try every crash. Returns how many spoiled something."""
    parts, tallies, seconds, failed = Counter(map(str, jobs)), defaultdict(Tally), Counter[str](), 0
    done = Counter[str]()
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        for what, found, took in pool.imap_unordered(Job.run, jobs):
            tally = tallies[what]
            tally.add(found)
            done[what] += 1
            seconds[what] += took
            part = "" if done[what] == parts[what] else f" ({done[what]} parts of {parts[what]})"
            print(
                f"{what}: {tally.tried:,} tried, {len(tally.states):,} states, {len(tally.violations)} violations, "
                f"{seconds[what]:.0f} s of a core{part}",
                flush=True,
            )
            failed += told(found)
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
    failed = 0
    if args.schedules:
        failed += schedules(range(args.seed, args.seed + args.schedules), args.processes)
    if args.crashes:
        small = (THREE, THREE_AT_ONCE, SHORTEST)
        failed += enumerations([Job(one, eager) for one in small for eager in (False, True)], args.processes)
    if args.pairs:
        jobs, spoiled = every_pair(SHORTEST)
        failed += spoiled + enumerations(jobs, args.processes)
    if args.mutations:
        failed += mutations(300)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
