"""What a trial costs beyond its training: the libraries' own wiring beside this project's, on the same trials in one run.

    python benchmarks/overhead.py [--rounds 3] [--json]
    python benchmarks/overhead.py --busy 8

Each measurement is a process of its own, the two wirings in turn. A trial trains a tiny network for five reports, one trial at a
time on one core. Overhead per trial = (wall time from the first trial's start to the last trial's end, less the time the trials
spend training) / trials; the start of Ray, the imports and the tracking database's creation are left out for both. What this
project does once at a search's end, and the other wiring not at all (reading the test split, packing and logging the chosen
network, the parent run's page), is given on its own line.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

RECIPE = """
data: {name: digits}
network: {name: mlp, width: 8, depth: 1}
optimizer: {name: adam, lr: 1e-2}
epochs: 1
batch_size: 200
reports_per_epoch: 5
"""
SPACE = """
recipe: recipe.yaml
space:
  optimizer.lr: {log_uniform: [1e-4, 1e-1]}
  gamma.strategy: {choice: [flip_ratio, max_gradient]}
pruner: none
trials: %d
resources: {max_concurrent: 1}
"""
REPORTS = 5
LONG_RECIPE = """
data: {name: digits}
network: {name: digits_resnet, width: 128}
optimizer: {name: adam, lr: 1e-2}
epochs: 20
batch_size: 64
reports_per_epoch: 1
"""
"""About a minute on one core."""


def ours(trials: int) -> dict[str, float]:
    """Run this project's search; times come from its own observer."""
    import ray

    from rebnn_search.execution.events import SearchObserver
    from rebnn_search.execution.opening import open_search

    Path("recipe.yaml").write_text(RECIPE, encoding="utf-8")
    Path("space.yaml").write_text(SPACE % trials, encoding="utf-8")

    class Clock(SearchObserver):
        begun = ended = 0.0

        def finished(self, number: int, state: str, reason: str | None, summary: Any) -> None:
            self.ended = time.perf_counter()

        def started(self, number: int, name: str, params: Any, resumed_at: int) -> None:
            self.begun = self.begun or time.perf_counter()

    clock = Clock()
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    result = open_search("space.yaml", name="s-1", tracking_uri="sqlite:///mlflow.db").run(clock)
    end = time.perf_counter() - clock.ended
    assert sum(row.state == "COMPLETE" for row in result.rows) == trials
    return {"wall": clock.ended - clock.begun, "end": end}


def spent(is_trial: Callable[[Any], bool]) -> dict[str, float]:
    """Seconds of CPU so far, by who had them; ``taken``: what the host gave to other machines."""
    import psutil

    whole = psutil.cpu_times()
    found = {"trials": 0.0, "driver": sum(psutil.Process().cpu_times()[:2]), "Ray": 0.0}
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            found["trials" if is_trial(process) else "Ray"] += sum(process.cpu_times()[:2])
    return {**found, "idle": whole.idle + whole.iowait, "taken": whole.steal}


def share_of_each(before: dict[str, float], after: dict[str, float], wall: float) -> dict[str, float]:
    """What share of all cores' time each had between two calls of `spent`, ``wall`` seconds apart."""
    return {"seconds": wall, **{name: (after[name] - before[name]) / ((os.cpu_count() or 1) * wall) for name in after}}


def train_long(told: Any) -> None:
    """Train one long trial on one core, and tell of its first report and its end."""
    import torch

    from rebnn_search.config import parse, validate
    from rebnn_search.training import Recipe, Trainer

    torch.set_num_threads(1)
    trainer = Trainer(validate(Recipe, parse(LONG_RECIPE, "recipe.yaml")))
    trainer.next_report()
    told.put("first")
    while not trainer.finished:
        trainer.next_report()
    told.put("end")


def bare(cores: int) -> dict[str, float]:
    """Train long trials in plain processes, one a core, without any search: the most of the cores' time there is to have."""
    context = multiprocessing.get_context("spawn")
    told = context.Queue()
    processes = [context.Process(target=train_long, args=(told,)) for _ in range(cores)]
    for process in processes:
        process.start()
    for _ in range(cores):
        assert told.get() == "first"
    begun, before = time.perf_counter(), spent(lambda process: True)
    assert told.get() == "end"
    found = share_of_each(before, spent(lambda process: True), time.perf_counter() - begun)
    for process in processes:
        process.join()
    return found


def busy(trials: int) -> dict[str, float]:
    """Run trials of about a minute each, one a core, and measure which share of the cores' time their workers had.

    From the moment when every core's first trial has reported to the end of the last trial but those that ran when no other was
    left: then a core idles in any search.
    """
    import ray

    from rebnn_search.execution.events import SearchObserver
    from rebnn_search.execution.opening import open_search

    cores = os.cpu_count() or 1
    Path("recipe.yaml").write_text(LONG_RECIPE, encoding="utf-8")
    space = (SPACE % trials).replace("{max_concurrent: 1}", f"{{max_concurrent: {cores}}}")
    Path("space.yaml").write_text(space, encoding="utf-8")

    def is_trial(process: Any) -> bool:
        return "RecipeTrial" in " ".join(process.cmdline())

    class Clock(SearchObserver):
        begun = 0.0
        before: dict[str, float]
        found: dict[str, float]
        left = trials

        def __init__(self) -> None:
            self.reporting: set[int] = set()

        def reported(self, number: int, report: Any) -> None:
            self.reporting.add(number)
            if not self.begun and len(self.reporting) == cores:
                self.begun, self.before = time.perf_counter(), spent(is_trial)

        def finished(self, number: int, state: str, reason: str | None, summary: Any) -> None:
            self.left -= 1
            if self.left == cores - 1:
                self.found = share_of_each(self.before, spent(is_trial), time.perf_counter() - self.begun)

    clock = Clock()
    ray.init(address="local", num_cpus=cores, include_dashboard=False, log_to_driver=False)
    open_search("space.yaml", name="s-1", tracking_uri="sqlite:///mlflow.db").run(clock)
    return clock.found


def theirs(trials: int) -> dict[str, float]:
    """Run Tuner, OptunaSearch and MLflowLoggerCallback as their documentation wires them."""
    import mlflow
    import ray
    from ray import tune
    from ray.air.integrations.mlflow import MLflowLoggerCallback
    from ray.tune.search import ConcurrencyLimiter
    from ray.tune.search.optuna import OptunaSearch

    uri = f"sqlite:///{Path('mlflow.db').absolute()}"
    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment("theirs")
    recipe = str(Path("recipe.yaml").absolute())
    Path(recipe).write_text(RECIPE, encoding="utf-8")

    def train(config: dict[str, Any]) -> None:
        import torch

        from rebnn_search.training import Trainer, load_recipe

        torch.set_num_threads(1)
        trainer = Trainer(load_recipe(recipe, [f"{key}={value}" for key, value in config.items()]))
        while not trainer.finished:
            tune.report(dict(trainer.next_report().metrics))

    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    space = {"optimizer.lr": tune.loguniform(1e-4, 1e-1), "gamma.strategy": tune.choice(["flip_ratio", "max_gradient"])}
    begun = time.perf_counter()
    grid = tune.Tuner(
        tune.with_resources(train, {"cpu": 1}),
        param_space=space,
        tune_config=tune.TuneConfig(
            metric="val/loss", mode="min", num_samples=trials, search_alg=ConcurrencyLimiter(OptunaSearch(), max_concurrent=1)
        ),
        run_config=tune.RunConfig(
            name="theirs", storage_path=str(Path("ray").absolute()), verbose=0,
            callbacks=[MLflowLoggerCallback(tracking_uri=uri, experiment_name="theirs")],
        ),
    ).fit()  # fmt: skip
    wall = time.perf_counter() - begun
    assert len(grid) == trials
    return {"wall": wall}


def training(trials: int) -> dict[str, float]:
    """Train the same trials one after another in one process: the time that is no overhead."""
    import torch

    from rebnn_search.config import parse, validate
    from rebnn_search.training import Recipe, Trainer

    torch.set_num_threads(1)
    recipe = validate(Recipe, parse(RECIPE, "recipe.yaml"))
    data = recipe.data.build().open()
    begun = time.perf_counter()
    for _ in range(trials):
        trainer = Trainer(recipe, data=data)
        while not trainer.finished:
            trainer.next_report()
    return {"wall": time.perf_counter() - begun}


def ledger(finished: int) -> dict[str, float]:
    """Time what the ledger does for one trial (ask, five reports with the pruner asked, end) over many finished ones."""
    import optuna
    from optuna.distributions import CategoricalDistribution, FloatDistribution
    from optuna.trial import TrialState, create_trial

    from rebnn_search.storage.folder import SearchFolder
    from rebnn_search.study.attributes import PARAMS
    from rebnn_search.study.ledger import Ledger
    from rebnn_search.study.load import load_search
    from rebnn_search.training.report_log import TrackedReport

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    Path("recipe.yaml").write_text(RECIPE, encoding="utf-8")
    Path("space.yaml").write_text((SPACE % 20000).replace("pruner: none", "pruner: median"), encoding="utf-8")
    book = Ledger(SearchFolder(Path.cwd()), load_search("space.yaml"))
    rng = random.Random(0)
    distributions = {
        "optimizer.lr": FloatDistribution(1e-4, 1e-1, log=True),
        "gamma.strategy": CategoricalDistribution(["flip_ratio", "max_gradient"]),
    }  # fmt: skip
    for _ in range(finished):
        params = {"optimizer.lr": 10 ** rng.uniform(-4, -1), "gamma.strategy": rng.choice(["flip_ratio", "max_gradient"])}
        value, pruned = rng.random(), rng.random() < 0.5
        book.study.add_trial(
            create_trial(
                state=TrialState.PRUNED if pruned else TrialState.COMPLETE, value=value, params=params, distributions=distributions,
                intermediate_values={step: value + 1 / step for step in range(1, 3 if pruned else REPORTS + 1)},
                user_attrs={PARAMS: params},
            )
        )  # fmt: skip
    costs = []
    for _ in range(20):
        begun = time.perf_counter()
        number, _params = book.ask()
        for step in range(1, REPORTS + 1):
            book.report(
                number, TrackedReport(step, step / REPORTS, 1, step == REPORTS, {"val/loss": rng.random(), "val/top1": 50.0})
            )
            book.should_prune(number)
        book.complete(number)
        costs.append(time.perf_counter() - begun)
    return {"wall": statistics.median(costs)}


def measure(what: str, count: int) -> dict[str, float]:
    """Run one measurement in a fresh process and directory."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(Path(__file__).absolute()), "--measure", what, "--count", str(count)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=1800)
    if done.returncode:
        raise SystemExit(f"{what} {count} failed:\n{done.stderr[-3000:]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Measure in turn and print."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--trials", type=int, nargs="+", default=[16, 64])
    p.add_argument("--busy", type=int, metavar="N", help="measure instead the cores' use over N trials of about a minute each")
    p.add_argument("--json", action="store_true")
    p.add_argument("--measure", choices=["ours", "theirs", "training", "ledger", "busy", "bare"], help=argparse.SUPPRESS)
    p.add_argument("--count", type=int, help=argparse.SUPPRESS)
    args = p.parse_args()
    if args.measure:
        print(json.dumps(globals()[args.measure](args.count)))
        return
    if args.busy:
        found_by = {"search": measure("busy", args.busy), "bare": measure("bare", os.cpu_count() or 1)}
        print(json.dumps(found_by)) if args.json else print_busy(found_by)
        return
    found: dict[str, Any] = {"hardware": f"{platform.machine()}, {os.cpu_count()} cores", "python": platform.python_version()}
    found["versions"] = {name: version(name) for name in ("ray", "optuna", "mlflow", "torch")}
    for trials in args.trials:
        rows: dict[str, list[float]] = {"ours": [], "theirs": []}
        ends = []
        for _ in range(args.rounds):
            net = measure("training", trials)["wall"]
            for what, row in rows.items():
                measured = measure(what, trials)
                row.append((measured["wall"] - net) / trials)
                ends += [measured["end"]] if "end" in measured else []
        found[f"{trials} trials"] = {
            **{what: spread(row) for what, row in rows.items()},
            "end of ours, once": spread(ends),
            "ratio": spread([a / b for a, b in zip(rows["ours"], rows["theirs"], strict=True)]),
        }
    sizes = (100, 1000, 10000)
    found["ledger"] = {str(size): spread([measure("ledger", size)["wall"] for _ in range(args.rounds)]) for size in sizes}
    if args.json:
        print(json.dumps(found))
        return
    print(f"{found['hardware']}, {found['versions']}, {args.rounds} rounds; seconds a trial beyond training, median [min, max]")
    for name, row in found.items():
        if isinstance(row, dict) and name != "versions":
            for what, (middle, low, high) in row.items():
                print(f"{name:10} {what:18} {middle:.4f} [{low:.4f}, {high:.4f}]")


def print_busy(found: dict[str, dict[str, float]]) -> None:
    """Who had the cores' time, with the search and without."""
    for name, measured in found.items():
        parts = [f"{who} {100 * share:.1f} %" for who, share in measured.items() if who != "seconds"]
        print(f"{name:7} of the cores' time over {measured['seconds']:.0f} s: {', '.join(parts)}")
    print(f"search / bare, trials' share: {found['search']['trials'] / found['bare']['trials']:.4f}")


def spread(values: list[float]) -> tuple[float, float, float]:
    """Median, least and greatest."""
    return statistics.median(values), min(values), max(values)


if __name__ == "__main__":
    main()
