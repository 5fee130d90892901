"""The project's own search on recorded curves: its sampler, pruner, ledger and controller, unchanged, on a simulated clock.

From Python (with this folder and the repository's root on the path):

    from banks import digits, taskset
    from replay import replay

    trace = replay(
        bank,                      # digits(), or one of taskset("path/to/taskset.npz")
        sampler="tpe",             # as in a search file: a name, or {"name": "tpe", "n_startup_trials": 10};
                                   # or a class of your own: anything that makes an optuna BaseSampler from seed=...
        pruner="median",           # likewise: a name, a mapping, or anything that makes an optuna BasePruner
        pauses=None,               # a rebnn_search.study.pausing.PauseRule: who waits while others train, and who goes on
        workers=1,                 # trainings at a time, on the simulated clock
        seed=0,                    # of the sampler, and of the order in which random search takes the configurations
        budget=1000,               # the search is stopped after so many reports (evaluations) in all
        trials=None,               # or after so many configurations; by default as many as the bank has
        n_startup_trials=10,       # so many trials end before the sampler is asked; until then the order of random search
        again=False,               # take configurations anew when the bank is exhausted
        start_seconds=0.0,         # what a worker takes to take up a trial
    )
    trace.incumbent(1000)          # (1000,) least objective seen after so many reports
    trace.chosen(bank, 1000)       # (1000,) least objective at a training's end
    trace.lost(bank)               # whether the best configuration was stopped for good
    trace.driver_seconds, trace.decisions

A sampler that the registry does not know is passed as itself: `replay(bank, sampler=MySampler)`. How proposals become recorded
configurations: `recorded_sampler.py`. The command measures how many trials and workers the driver keeps up with:

    python benchmarks/replay.py --bank digits --trials 10000 --workers 1000
    python benchmarks/replay.py --bank path/to/taskset.npz --task 0 --trials 10000 --workers 1000 --profile
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from banks import Bank, digits, taskset
from recorded_sampler import Candidates, around
from traces import Trace

from rebnn_search.config import Component
from rebnn_search.execution.controller import Controller
from rebnn_search.execution.events import SearchObserver, TrialTracking
from rebnn_search.execution.simulated import RecordedReport, SimulatedClock, SimulatedExecutor
from rebnn_search.execution.task import Decision, TrialTask, TrialUpdate
from rebnn_search.study.attributes import PARAMS
from rebnn_search.study.ledger import Ledger
from rebnn_search.study.optuna_log import optuna_log_muted
from rebnn_search.study.pausing import PauseRule
from rebnn_search.study.samplers import CONTEXT, SAMPLERS
from rebnn_search.study.search import Search
from rebnn_search.study.spec import Params, SearchSpec
from rebnn_search.training.report_log import TrackedReport

Part = str | Mapping[str, Any] | Callable[..., Any]
"""A sampler or pruner: its name, its name and options as in a search file, or what makes one."""


@dataclass
class Recorder(SearchObserver):
    """Watches a search and writes its trace; stops it at its budget.

    Attributes:
        trace: What was seen.
        bank: Whose configurations.
        clock: The simulation's.
        budget: Reports in all.
    """

    trace: Trace
    bank: Bank
    clock: SimulatedClock
    budget: int

    def watch(self, controller: Controller, ledger: Ledger) -> None:
        """Tell it whom it watches."""
        self._controller, self._ledger = controller, ledger
        self._configurations: dict[int, int] = {}

    def _configuration(self, number: int) -> int:
        if number not in self._configurations:
            self._configurations[number] = self.bank.index(self._ledger.trial(number).user_attrs[PARAMS])
        return self._configurations[number]

    def started(self, number: int, name: str, params: Params, resumed_at: int) -> None:
        """Count it."""
        self.trace.asked += resumed_at == 0

    def reported(self, number: int, report: TrackedReport) -> None:
        """Note it."""
        self._add(number, report.step, report.metrics["val/loss"])

    def _add(self, number: int, step: int, value: float) -> None:
        self.trace.add(self._configuration(number), step, value, self.clock.now)
        if len(self.trace) >= self.budget:
            self._controller.stop()

    def finished(self, number: int, state: str, reason: str | None, summary: Mapping[str, float]) -> None:
        """Note the end of what was stopped, or diverged."""
        if state == "PRUNED":
            self.trace.stopped[self._configuration(number)] = len(self.trace)
        elif state == "FAIL":
            self._add(number, int(summary.get("reports", 0)) + 1, float("inf"))


class CountingController(Controller):
    """The controller, which counts how often it is asked."""

    decisions = 0

    def next_task(self) -> TrialTask:
        """As the controller."""
        self.decisions += 1
        return super().next_task()

    def update(self, task: TrialTask, update: TrialUpdate) -> Decision:
        """As the controller."""
        self.decisions += 1
        return super().update(task, update)


def replay(
    bank: Bank,
    *,
    sampler: Part = "tpe",
    pruner: Part = "median",
    pauses: PauseRule | None = None,
    workers: int = 1,
    seed: int = 0,
    budget: int = 1000,
    trials: int | None = None,
    n_startup_trials: int = 10,
    again: bool = False,
    start_seconds: float = 0.0,
) -> Trace:
    """Run a search on a bank. The arguments: this file's first lines.

    Returns:
        Its trace; a function of the arguments alone, times aside.
    """
    candidates = Candidates(bank, seed, again=again)
    data = {
        "recipe": "", "space": bank.space.parameters, "trials": trials or len(bank), "sampler_seed": seed,
        "sampler": _sampler(sampler, candidates, n_startup_trials), "pruner": _part(pruner),
    }  # fmt: skip
    search = Search(SearchSpec.model_validate(data), bank.base, [])
    trace, clock = Trace(), SimulatedClock()
    ledger = Ledger(None, search)
    recorder = Recorder(trace, bank, clock, budget)
    controller = CountingController(search, None, ledger, TrialTracking(), recorder, pauses=pauses)
    recorder.watch(controller, ledger)

    def curves(params: Mapping[str, Any]) -> list[RecordedReport]:
        return bank.curves[bank.index(params)]

    began = time.process_time()
    with optuna_log_muted(), SimulatedExecutor(curves, workers, clock, start_seconds) as executor:
        executor.run(controller)
    trace.driver_seconds, trace.decisions = time.process_time() - began, controller.decisions
    return trace


def _sampler(sampler: Part, candidates: Candidates, n_startup_trials: int) -> Component[Any]:
    if not isinstance(sampler, (str, Mapping)):
        return Component("name", "own", {}, around(sampler, candidates, n_startup_trials))  # type: ignore[arg-type]
    options = {"name": sampler} if isinstance(sampler, str) else dict(sampler)
    name = options.pop("name")
    make = None if name == "random" else SAMPLERS[name]
    assert not set(options) & set(CONTEXT), options
    return Component("name", name, options, around(make, candidates, n_startup_trials))  # type: ignore[arg-type]


def _part(part: Part) -> Any:
    return part if isinstance(part, (str, Mapping)) else Component("name", "own", {}, part)  # type: ignore[arg-type]


def main() -> None:
    """Measure the driver on many trials and workers."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0], formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--bank", default="digits", help="digits, or the path of a TaskSet file")
    p.add_argument("--task", type=int, default=0, help="which of a TaskSet file's tasks")
    p.add_argument("--trials", type=int, default=10_000)
    p.add_argument("--workers", type=int, default=1000)
    p.add_argument("--sampler", default="tpe")
    p.add_argument("--pruner", default="median")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--profile", action="store_true", help="print where the time went")
    args = p.parse_args()
    bank = digits() if args.bank == "digits" else taskset(args.bank)[args.task]
    profile = cProfile.Profile()
    began = time.perf_counter()
    if args.profile:
        profile.enable()
    trace = replay(
        bank, sampler=args.sampler, pruner=args.pruner, workers=args.workers, seed=args.seed, trials=args.trials,
        budget=args.trials * bank.reports, again=True,
    )  # fmt: skip
    profile.disable()
    took, memory = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{bank.name}: {trace.asked:,} trials on {args.workers:,} workers, {len(trace):,} reports, simulated "
        f"{trace.time[-1] / 3600:.1f} h in {took:.1f} s; {1e3 * trace.driver_seconds / trace.decisions:.2f} ms a decision; "
        f"{memory:.0f} MiB at most"
    )
    if args.profile:
        pstats.Stats(profile).sort_stats("cumulative").print_stats(45)


if __name__ == "__main__":
    main()
