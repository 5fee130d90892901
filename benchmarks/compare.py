"""Search methods side by side on recorded curves: the same configurations in the same order for each seed, one process.

    python benchmarks/compare.py --bank digits --out benchmarks/results/digits
    python benchmarks/compare.py --bank PATH/taskset.npz --out benchmarks/results/taskset --seeds 50
    python benchmarks/compare.py --bank digits --methods random,asha,ours --workers 64 --out benchmarks/results/digits_64

``OUT.csv`` gets a row for each run (method, bank, seed) and ``OUT_curves.csv.gz`` a row whenever a run's best became better; runs
that are there already are not made again, so that a call that was stopped goes on, and one with more seeds or methods adds to it.
``OUT.md`` is the table of all that is there, made anew, and ``OUT.png`` the picture of its regrets (``regret_figure.py``).
``--syne-tune SITE_PACKAGES`` adds Syne Tune's methods
(``peers/syne_tune_schedulers.py``).

A cost of one is one report: an evaluation of TaskSet, a quarter of an epoch of digits. The measures are explained in
``benchmarks/README.md``.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from banks import Bank, Floats, digits, taskset
from measures import CLOSE, bootstrap, first_at, interquartile_mean, regret, scale
from peers import simple, syne_tune_schedulers
from peers.loop import simulate
from peers.optuna_study import OptunaStudy
from regret_figure import FEWEST_SEEDS, draw
from replay import replay
from traces import Trace

from rebnn_search.study.automatic import promotion

RUNS = ("method", "bank", "seed", "workers", "budget", "reports", "asked", "least", "chosen", "stopped_best", "driver_seconds",
        "decisions", "simulated_seconds")  # fmt: skip
CURVES = ("method", "bank", "seed", "reports", "seconds", "least")
Method = Callable[[Bank, int, int, int], Trace]
"""From bank, seed, workers and budget to a trace."""


def _peer(make: Callable[[Bank, int], Any]) -> Method:
    return lambda bank, seed, workers, budget: simulate(make(bank, seed), bank, workers, budget)


def _ours(**parts: Any) -> Method:
    return lambda bank, seed, workers, budget: replay(bank, seed=seed, workers=workers, budget=budget, **parts)


def _optuna(sampler: str, pruner: str) -> Method:
    return _peer(lambda bank, seed: OptunaStudy(bank, seed, sampler, pruner))


def _syne(name: str) -> Method:
    return _peer(lambda bank, seed: syne_tune_schedulers.SyneTune(bank, seed, name))


METHODS: dict[str, Method] = {
    "random": _peer(simple.Random),
    "one_step_50": _peer(lambda bank, seed: simple.OneStep(bank, seed, 50)),
    "one_step_250": _peer(lambda bank, seed: simple.OneStep(bank, seed, 250)),
    "sha": _peer(simple.successive_halving),
    "asha": _peer(simple.ASHA),
    "asha_stopping": _peer(simple.ASHAStopping),
    "hyperband": _peer(simple.Hyperband),
    "ours": lambda bank, seed, workers, budget: replay(
        bank, pruner=promotion(bank.reports), seed=seed, workers=workers, budget=budget
    ),
    "ours_tpe_median": _ours(),
    "ours_random_halving": _ours(sampler="random", pruner="successive_halving"),
    "ours_random_promotion": _ours(sampler="random", pruner="promotion"),
    "optuna_tpe_none": _optuna("tpe", "none"),
    "optuna_tpe_median": _optuna("tpe", "median"),
    "optuna_tpe_hyperband": _optuna("tpe", "hyperband"),
    "optuna_tpe_wilcoxon": _optuna("tpe", "wilcoxon"),
    "optuna_tpe_patient": _optuna("tpe", "patient"),
    "optuna_cma_es_median": _optuna("cma_es", "median"),
    "optuna_cma_es_hyperband": _optuna("cma_es", "hyperband"),
    "optuna_cma_es_wilcoxon": _optuna("cma_es", "wilcoxon"),
    "optuna_cma_es_patient": _optuna("cma_es", "patient"),
    "optuna_gp_median": _optuna("gp", "median"),
    "optuna_gp_hyperband": _optuna("gp", "hyperband"),
    "optuna_gp_wilcoxon": _optuna("gp", "wilcoxon"),
    "optuna_gp_patient": _optuna("gp", "patient"),
}
"""By name. ``ours`` is what a search file of so many trials gets that names neither sampler nor pruner."""
SYNE_TUNE = {"syne_tune_asha": _syne("ASHA"), "syne_tune_bohb": _syne("BOHB"), "syne_tune_asha_cqr": _syne("ASHACQR")}
"""With ``--syne-tune``."""


class Results:
    """The runs in a pair of files, and those that are added.

    Args:
        out: Path of both without suffix.
    """

    def __init__(self, out: Path) -> None:
        self.table, self._curves = out.with_suffix(".csv"), out.with_name(f"{out.name}_curves.csv.gz")
        self.rows: dict[tuple[str, str, int], dict[str, str]] = {}
        self.curves: dict[tuple[str, str, int], list[tuple[int, float, float]]] = {}
        if self.table.exists():
            with self.table.open(newline="") as file:
                for row in csv.DictReader(file):
                    self.rows[row["method"], row["bank"], int(row["seed"])] = row
            with gzip.open(self._curves, "rt", newline="") as file:
                for row in csv.DictReader(file):
                    key = row["method"], row["bank"], int(row["seed"])
                    self.curves.setdefault(key, []).append((int(row["reports"]), float(row["seconds"]), float(row["least"])))

    def add(self, method: str, bank: Bank, seed: int, workers: int, budget: int, trace: Trace) -> None:
        """Take in a run."""
        key, least = (method, bank.name, seed), np.inf
        steps = []
        for place, (value, when) in enumerate(zip(trace.value, trace.time, strict=True), start=1):
            if value < least:
                least = value
                steps.append((place, round(when, 2), float(f"{value:.7g}")))  # single precision, as it was recorded
        self.curves[key] = steps
        values: list[Any] = [
            method, bank.name, seed, workers, budget, len(trace), trace.asked, least, float(trace.chosen(bank, budget)[-1]),
            int(trace.lost(bank)), round(trace.driver_seconds, 4), trace.decisions, trace.time[-1] if trace.time else 0.0,
        ]  # fmt: skip
        self.rows[key] = {name: str(value) for name, value in zip(RUNS, values, strict=True)}

    def write(self) -> None:
        """Write both files whole."""
        self.table.parent.mkdir(parents=True, exist_ok=True)
        with self.table.open("w", newline="") as file:
            writer = csv.DictWriter(file, RUNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows[key] for key in sorted(self.rows))
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(CURVES)
        for key in sorted(self.curves):
            rows.writerows((*key, *step) for step in self.curves[key])
        self._curves.write_bytes(gzip.compress(text.getvalue().encode(), mtime=1))

    def incumbents(self, method: str, bank: Bank, budget: int) -> Floats:
        """(seeds, budget) the least objective of any report after so many."""
        found = []
        for name, where, seed in sorted(self.rows):
            if (name, where) == (method, bank.name):
                values = np.full(budget, np.inf)
                for reports, _, least in self.curves.get((name, where, seed), []):
                    values[reports - 1 :] = least
                found.append(values)
        return np.array(found).reshape(-1, budget)

    def of(self, method: str) -> list[dict[str, str]]:
        """A method's rows."""
        return [row for key, row in self.rows.items() if key[0] == method]


def table(results: Results, banks: list[Bank], budget: int) -> str:
    """All methods that are there, in Markdown, the earliest at random search's level first.

    Args:
        results: The runs.
        banks: The tasks.
        budget: Reports of each run.
    """
    levels = _levels(results, banks, budget)
    found = []
    for method in dict.fromkeys(key[0] for key in sorted(results.rows)):
        groups = [results.incumbents(method, bank, budget) for bank in banks]
        if min(map(len, groups)) == 0:
            continue
        curves = [regret(group, bank) for group, bank in zip(groups, banks, strict=True)]
        reached = bootstrap(curves, lambda runs: first_at(interquartile_mean(runs), levels["all"]))
        ends = bootstrap([curve[:, -1] for curve in curves], lambda runs: float(interquartile_mean(runs)))
        early = [float(interquartile_mean(np.concatenate(curves))[share - 1]) for share in (budget // 10, budget // 4)]
        close = bootstrap([_close(group, bank) for group, bank in zip(groups, banks, strict=True)], _median)
        worst = max(
            (first_at(interquartile_mean(curve), levels[bank.name]) or np.inf)
            for curve, bank in zip(curves, banks, strict=True)
        )
        rows = results.of(method)
        lost = sum(int(row["stopped_best"]) for row in rows) / len(rows)
        per = sum(float(row["driver_seconds"]) for row in rows) / sum(int(row["decisions"]) for row in rows)
        asked = sum(int(row["asked"]) for row in rows) / len(rows)
        ended = interquartile_mean(np.concatenate([_chosen(results.of(method), bank) for bank in banks]))
        found.append((
            reached.value or np.inf,
            f"| {method} | {min(map(len, groups))} | {reached.text()} | {'-' if np.isinf(worst) else f'{worst:.0f}'} | "
            f"{early[0]:.3f} | {early[1]:.3f} | {ends.text('.3f')} | {ended:.3f} | {close.text()} | {100 * lost:.1f} | {asked:.0f} | "
            f"{1e3 * per:.2f} |",
        ))  # fmt: skip
    head = [
        f"| method | seeds | to random@{budget} | on the worst task | regret at {budget // 10} | at {budget // 4} | at {budget} | "
        f"of the chosen at {budget} | to within {100 * CLOSE:.0f} % of the best | best stopped for good, % | begun | ms a decision |",
        "|" + "---|" * 12,
    ]
    return "\n".join([*head, *(line for _, line in sorted(found))]) + "\n"


def regrets(results: Results, banks: list[Bank], budget: int) -> dict[str, Floats]:
    """By method (runs, budget) regret after so many reports, of those with enough seeds on every task."""
    found = {}
    for method in dict.fromkeys(key[0] for key in sorted(results.rows)):
        groups = [results.incumbents(method, bank, budget) for bank in banks]
        if min(map(len, groups)) >= FEWEST_SEEDS:
            found[method] = np.concatenate([regret(group, bank) for group, bank in zip(groups, banks, strict=True)])
    return found


def _chosen(rows: list[dict[str, str]], bank: Bank) -> Floats:
    """(seeds,) regret of the trainings that came to their end, by their ends: 0 for the bank's best, 1 for the median."""
    values = np.array([float(row["chosen"]) for row in rows if row["bank"] == bank.name])
    best, usual = float(bank.final.min()), float(np.median(bank.final))
    found: Floats = np.clip((values - best) / (usual - best), 0.0, 1.0)
    return found


def _levels(results: Results, banks: list[Bank], budget: int) -> dict[str, float]:
    """Random search's regret at the end of its budget: of all tasks together, and of each."""
    curves = {bank.name: regret(results.incumbents("random", bank, budget), bank) for bank in banks}
    levels = {name: float(interquartile_mean(curve)[-1]) for name, curve in curves.items()}
    return {**levels, "all": float(interquartile_mean(np.concatenate(list(curves.values())))[-1])}


def _close(incumbents: Floats, bank: Bank) -> Floats:
    """(seeds,) reports to within a hundredth of the best; infinite where that was not reached."""
    best, _ = scale(bank)
    there = incumbents <= best + CLOSE * abs(best)
    return np.where(there.any(axis=1), there.argmax(axis=1) + 1.0, np.inf)


def _median(values: Floats) -> float | None:
    found = float(np.median(values))
    return None if np.isinf(found) or np.isnan(found) else found


def main() -> None:
    """Run what is missing, write the files and print the table."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--bank", default="digits", help="digits, or the path of a TaskSet file")
    p.add_argument("--out", type=Path, required=True, help="path of the results without suffix")
    p.add_argument("--methods", help=f"comma-separated, of {', '.join([*METHODS, *SYNE_TUNE])} (default: all)")
    p.add_argument("--seeds", type=int, default=50)
    p.add_argument("--workers", type=int, default=1)
    p.add_argument("--budget", type=int, default=1000, help="reports of a run")
    p.add_argument("--minutes", type=float, default=1e9, help="begin no run after so many")
    p.add_argument("--syne-tune", metavar="SITE_PACKAGES", help="where Syne Tune is installed")
    args = p.parse_args()
    methods = dict(METHODS)
    if args.syne_tune:
        syne_tune_schedulers.add_to_path(args.syne_tune)
        methods |= SYNE_TUNE
    banks = [digits()] if args.bank == "digits" else taskset(args.bank)
    results, began, saved = Results(args.out), time.monotonic(), time.monotonic()
    chosen = args.methods.split(",") if args.methods else list(methods)
    for seed in range(args.seeds):  # seed by seed, so that what is there at any time is side by side
        for name in chosen:
            for bank in banks:
                if (name, bank.name, seed) in results.rows or time.monotonic() - began > 60 * args.minutes:
                    continue
                trace = methods[name](bank, seed, args.workers, args.budget)
                results.add(name, bank, seed, args.workers, args.budget, trace)
            if time.monotonic() - saved > 30:
                results.write()
                saved = time.monotonic()
                print(f"seed {seed}, {name}: {len(results.rows)} runs", file=sys.stderr, flush=True)
    results.write()
    text = table(results, banks, args.budget)
    args.out.with_suffix(".md").write_text(text, encoding="utf-8")
    if curves := regrets(results, banks, args.budget):
        draw(curves, args.workers, args.out.with_suffix(".png"))
    print(text)


if __name__ == "__main__":
    main()
