"""Searches small enough to be crashed everywhere."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from rebnn_search.study.load import load_search
from rebnn_search.study.search import Search

RECIPE = (
    "{data: {name: digits}, network: {name: mlp, width: 8}, optimizer: {name: adam, lr: 1e-2}, epochs: 1, reports_per_epoch: 3}"
)
SPACE = """
recipe: recipe.yaml
space:
  optimizer.lr: {log_uniform: [1e-4, 1e-1]}
  gamma.strategy: {choice: [flip_ratio, constant]}
  gamma.value: {choice: [0.0, 1e-4], when: {gamma.strategy: constant}}
"""
MEDIAN = "{name: median, n_startup_trials: 1, n_warmup_steps: 0}"
HALVING = "{name: successive_halving, reduction_factor: 2}"
PROMOTION = "{name: promotion, startup_trials: 2, every: 2, second_looks: 1, second_look: 2}"


@dataclass(frozen=True)
class Workload:
    """A search.

    Attributes:
        name: What it is called.
        rest: Of its search file, in one line.
        slots: Trials at a time.
        remote: Whether its storage is an object store.
    """

    name: str
    rest: str
    slots: int = 1
    remote: bool = False

    def search(self) -> Search:
        """The search, read once."""
        return _load(self.rest)


@cache
def _load(rest: str) -> Search:
    with TemporaryDirectory() as folder:
        (Path(folder) / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
        (Path(folder) / "space.yaml").write_text(SPACE + rest.replace("; ", "\n"), encoding="utf-8")
        return load_search(Path(folder) / "space.yaml")


def _rest(trials: int, sampler: str, pruner: str, more: str = "") -> str:
    return f"sampler: {sampler}; pruner: {pruner}; trials: {trials}; max_failures: 1000; {more}"


THREE = Workload("three", _rest(3, "random", MEDIAN, "resources: {workers_per_trial: 2}"))
"""Three trials of two workers each: one is pruned, one worker dies and is started again."""
THREE_AT_ONCE = Workload("three-at-once", _rest(3, "random", MEDIAN), slots=2)
SHORTEST = Workload("shortest", _rest(1, "random", "none"))
WORKLOADS = [
    Workload("random", _rest(4, "random", MEDIAN)),
    Workload("tpe", _rest(5, "{name: tpe, n_startup_trials: 2}", MEDIAN)),
    Workload("halving", _rest(5, "random", HALVING, "sampler_seed: 3")),
    Workload("promotion", _rest(5, "random", PROMOTION)),
    Workload("seeds", _rest(4, "random", "none", "seeds: 2")),
    Workload("two-at-once", _rest(5, "random", MEDIAN), slots=2),
    Workload("promotion-at-once", _rest(6, "random", PROMOTION), slots=3),
    Workload("stored", _rest(3, "random", MEDIAN), remote=True),
    Workload("stored-at-once", _rest(4, "random", MEDIAN), slots=2, remote=True),
]
