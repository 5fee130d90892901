"""Searches that really train, side by side: the libraries' own wiring, the same with ASHA, and this project's default.

    python benchmarks/trained.py --out benchmarks/results/trained --seeds 5 --time 150

Each run is a fresh process with a Ray of its own and the same time, and searches ``trained.yaml``; all trials train with this
project's trainer, one core each, as many at a time as there are cores. ``OUT.csv`` gets a row whenever a run's least validation
loss fell, with the seconds since its process was begun; runs that are there are not made again. ``OUT.md`` is the table.

``ray_optuna`` is Ray Tune's documented use of Optuna (``OptunaSearch`` at its defaults, a fresh process for each trial),
``ray_optuna_asha`` the same with ``ASHAScheduler`` at its defaults; neither tracks anything. ``ours`` is a search file that names
neither sampler nor pruner, with its tracking, checkpoints and record.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

SPACE = Path(__file__).with_name("trained.yaml")
COLUMNS = ("method", "seed", "seconds", "least", "finished")
"""``seconds`` since the process was begun, ``least`` validation loss so far, ``finished`` trainings that came to their ends."""


class Record:
    """Writes a row whenever the least validation loss falls, and one at the end.

    Args:
        method: The run's.
        seed: The run's.
        begun: When its process was begun, by `time.time`.
        out: File that is appended to.
    """

    def __init__(self, method: str, seed: int, begun: float, out: Path) -> None:
        self._of, self._begun, self._out = (method, seed), begun, out
        self.least, self.finished = float("inf"), 0

    def take(self, loss: float) -> None:
        """Note a report."""
        if loss < self.least:
            self.least = loss
            self.write()

    def write(self) -> None:
        """Note how things are."""
        with self._out.open("a", newline="") as file:
            csv.writer(file, lineterminator="\n").writerow(
                (*self._of, round(time.time() - self._begun, 2), f"{self.least:.6g}", self.finished)
            )


def ours(record: Record, seed: int, seconds: float) -> None:
    """Search as the project does by default."""
    import rebnn_search as rs
    from rebnn_search.execution.events import SearchObserver

    class Watch(SearchObserver):
        def reported(self, number: int, report: Any) -> None:
            record.take(report.metrics["val/loss"])

        def finished(self, number: int, state: str, reason: str | None, summary: Mapping[str, float]) -> None:
            record.finished += state == "COMPLETE"

    rs.search(SPACE, overrides=[f"sampler_seed={seed}"], time_budget=f"{seconds:.0f}s", observer=Watch())


class Suggest:
    """The space as Optuna's define-by-run has it. A class, because Tune pickles it."""

    def __call__(self, trial: Any) -> None:
        """Ask for every parameter."""
        from rebnn_search.study.load import load_search

        load_search(SPACE).space.suggest(trial)


def libraries(asha: bool) -> Callable[[Record, int, float], None]:
    """Search with Ray Tune and Optuna as their documentation has it."""

    def run(record: Record, seed: int, seconds: float) -> None:
        import ray
        from ray import tune
        from ray.tune.schedulers import ASHAScheduler
        from ray.tune.search.optuna import OptunaSearch

        from rebnn_search.study.load import load_search

        search = load_search(SPACE)

        def train(config: dict[str, Any]) -> None:
            import torch

            from rebnn_search.training import Trainer

            torch.set_num_threads(1)
            trainer = Trainer(search.recipe(config), device="cpu")
            while not trainer.finished:
                tune.report({"loss": trainer.next_report().metrics["val/loss"]})

        class Watch(tune.Callback):
            def on_trial_result(
                self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
            ) -> None:
                record.take(result["loss"])
                record.finished += result["training_iteration"] == 40

        ray.init(include_dashboard=False, log_to_driver=False)
        tune.Tuner(
            train,
            tune_config=tune.TuneConfig(
                metric="loss", mode="min", num_samples=-1, time_budget_s=seconds - (time.time() - record._begun),
                search_alg=OptunaSearch(Suggest(), metric="loss", mode="min", seed=seed),
                scheduler=ASHAScheduler() if asha else None,
            ),
            run_config=tune.RunConfig(storage_path=str(Path.cwd() / "ray"), callbacks=[Watch()], verbose=0),
        ).fit()  # fmt: skip

    return run


METHODS: dict[str, Callable[[Record, int, float], None]] = {
    "ray_optuna": libraries(asha=False), "ray_optuna_asha": libraries(asha=True), "ours": ours,
}  # fmt: skip


def read(out: Path) -> dict[tuple[str, int], list[tuple[float, float, int]]]:
    """By method and seed: (seconds, least, finished) of each row."""
    found: dict[tuple[str, int], list[tuple[float, float, int]]] = {}
    if out.exists():
        with out.open(newline="") as file:
            for row in csv.DictReader(file):
                step = (float(row["seconds"]), float(row["least"]), int(row["finished"]))
                found.setdefault((row["method"], int(row["seed"])), []).append(step)
    return found


def table(out: Path) -> str:
    """Each method's seconds to the level that ``ray_optuna`` ends at (median over seeds), and its own end, in Markdown."""
    runs = read(out)
    level = float(np.median([steps[-1][1] for (method, _), steps in runs.items() if method == "ray_optuna"]))
    lines = [
        f"| method | runs | seconds to {level:.4f} | each | least loss at the end, median (range) | finished |", "|" + "---|" * 6
    ]  # fmt: skip
    for name in METHODS:
        mine = [steps for (method, _), steps in sorted(runs.items()) if method == name]
        if not mine:
            continue
        reached = [next((when for when, least, _ in steps if least <= level), np.inf) for steps in mine]
        ends = [steps[-1][1] for steps in mine]
        each = ", ".join("-" if np.isinf(when) else f"{when:.0f}" for when in reached)
        middle = float(np.median(reached))
        lines.append(
            f"| {name} | {len(mine)} | {'-' if np.isinf(middle) else f'{middle:.0f}'} | {each} | {np.median(ends):.4f} "
            f"({min(ends):.4f} to {max(ends):.4f}) | {np.mean([steps[-1][2] for steps in mine]):.1f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Make the runs that are missing, one after another, and print the table."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", type=Path, required=True, help="path of the results without suffix")
    p.add_argument("--seeds", type=int, default=5)
    p.add_argument("--time", type=float, default=150, help="seconds of each run, its start included")
    p.add_argument("--one", nargs=3, metavar=("METHOD", "SEED", "BEGUN"), help=argparse.SUPPRESS)
    args = p.parse_args()
    out = args.out.with_suffix(".csv").absolute()
    if args.one:
        method, seed, begun = args.one[0], int(args.one[1]), float(args.one[2])
        record = Record(method, seed, begun, Path("run.csv"))
        METHODS[method](record, seed, args.time)
        record.write()
        return
    if not out.exists():
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(",".join(COLUMNS) + "\n", encoding="utf-8")
    for seed in range(args.seeds):
        for method in METHODS:
            if (method, seed) in read(out):
                continue
            with tempfile.TemporaryDirectory() as folder:
                words = [sys.executable, str(Path(__file__).absolute()), "--out", str(out), "--time", str(args.time)]
                words += ["--one", method, str(seed), str(time.time())]
                root = str(Path(__file__).absolute().parents[1])
                done = subprocess.run(
                    words, cwd=folder, env={**os.environ, "PYTHONPATH": root}, capture_output=True, check=False
                )
                rows = (Path(folder) / "run.csv").read_text() if done.returncode == 0 else ""
                assert rows, done.stderr.decode()
                with out.open("a") as file:  # whole, so that a run that was cut short is made again
                    file.write(rows)
            print(f"seed {seed}, {method}: {rows.splitlines()[-1]}", file=sys.stderr, flush=True)
    text = table(out)
    args.out.with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
