"""A search driven at its record alone: what Ray and the trainer would report is computed from a trial's parameters."""

import hashlib
import json
import math
from pathlib import Path
from typing import Any

from rebnn_search.storage.folder import SearchFolder
from rebnn_search.study.ledger import Ledger
from rebnn_search.study.load import load_search
from rebnn_search.study.search import Search
from rebnn_search.study.spec import Params
from rebnn_search.training.report_log import TrackedReport

REPORTS = 4

RECIPE = """
data: {name: digits}
network: {name: digits_resnet, width: 4}
optimizer: {name: adam, lr: 1e-2}
epochs: 1
batch_size: 128
reports_per_epoch: 4
"""

GAMMA = """
recipe: tiny.yaml
space:
  gamma.strategy: {choice: [flip_ratio, max_gradient, constant]}
  gamma.value: {choice: [0.0, 1e-5, 1e-4, 1e-3], when: {gamma.strategy: constant}}
  optimizer.lr: {log_uniform: [1e-4, 3e-2]}
  scale_init.strategy: {choice: [mean_abs, median_abs, fan_in]}
fixed:
  - {gamma.strategy: constant, gamma.value: 0.0}
  - {gamma.strategy: flip_ratio}
sampler: {name: tpe, n_startup_trials: 4}
pruner: {name: median, n_startup_trials: 2, n_warmup_steps: 1}
trials: 10
"""

MANY = """
recipe: tiny.yaml
space:
  optimizer.lr: {log_uniform: [1e-4, 3e-2]}
  optimizer.weight_decay: {log_uniform: [1e-6, 1e-2]}
  network.width: {int: [4, 16]}
  batch_size: {choice: [32, 64, 128]}
  scale_init.strategy: {choice: [mean_abs, fan_in]}
  gamma.strategy: {choice: [flip_ratio, constant]}
  gamma.value: {log_uniform: [1e-6, 1e-2], when: {gamma.strategy: constant}}
seeds: 2
sampler: {name: tpe, n_startup_trials: 3}
pruner: {name: successive_halving, reduction_factor: 2}
trials: 12
"""

PLAIN = """
recipe: tiny.yaml
space:
  optimizer.lr: {log_uniform: [1e-4, 3e-2]}
  optimizer.weight_decay: {log_uniform: [1e-6, 1e-2]}
  network.width: {int: [4, 16]}
sampler: SAMPLER
pruner: PRUNER
trials: 9
"""

GRID = """
recipe: tiny.yaml
space:
  optimizer.lr: {choice: [1e-4, 1e-3, 1e-2]}
  network.width: {int: [4, 6]}
  gamma.strategy: {choice: [flip_ratio, constant]}
  gamma.value: {choice: [0.0, 1e-3], when: {gamma.strategy: constant}}
sampler: brute_force
trials: 12
"""


def load(path: Path, space: str) -> Search:
    """A search from the text of its file."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "tiny.yaml").write_text(RECIPE, encoding="utf-8")
    (path / "space.yaml").write_text(space, encoding="utf-8")
    return load_search(path / "space.yaml")


def loss(params: Params, number: int, seeds: int, step: int) -> float:
    """The loss at a report: a function of configuration, seed and step alone."""
    text = json.dumps([sorted(params.items()), number % seeds])
    noise = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little") / 2**32
    lr = float(params.get("optimizer.lr") or 1e-2)  # type: ignore[arg-type]
    return abs(math.log10(lr) + 2.5) + noise + 1.0 / step


def measured(search: Search, params: Params, step: int) -> dict[str, float]:
    """What a worker would have measured by a report, a function of the configuration alone."""
    width = float(params.get("network.width") or 8)  # type: ignore[arg-type]
    known = {"bytes": 100 * width, "latency": 1 / width}
    due = {"bytes": step in (1, REPORTS), "latency": step == REPORTS}
    return {name: known[name] for name in (str(data["name"]) for data in search.measured) if due[name]}


def begin(folder: SearchFolder, search: Search, url: str | None = None) -> Ledger:
    """Open the record of a search, new or begun."""
    folder.path.mkdir(parents=True, exist_ok=True)
    ledger = Ledger(folder, search, url)
    folder.write_search("space.yaml", search.dump(), url, ledger.search_id)
    return ledger


def drive(folder: SearchFolder, search: Search, url: str | None = None) -> list[tuple[Any, ...]]:
    """Bring a search, new or begun, to its end with one trial at a time. Returns what must be the same, to the bit."""
    ledger = begin(folder, search, url)
    todo = ledger.recover()
    while todo or ledger.asked < search.trials:
        number, params = todo.pop(0) if todo else ledger.ask()
        _train(ledger, search, number, params)
    return record(ledger)


def _train(ledger: Ledger, search: Search, number: int, params: Params) -> None:
    first = ledger.reports(number).last_step + 1
    for step in range(first, REPORTS + 1):
        value = loss(params, number, search.spec.seeds, step)
        if value > 4.2:
            ledger.fail(number, "diverged")
            return
        metrics = {"val/loss": value, "val/top1": 100 / value, **measured(search, params, step)}
        ledger.report(number, TrackedReport(step, step / REPORTS, 1000 * step, step == REPORTS, metrics))
        if ledger.should_prune(number):
            ledger.prune(number, ledger.why_pruned(number))
            return
    ledger.complete(number)


def record(ledger: Ledger) -> list[tuple[Any, ...]]:
    """Every trial as the ledger has it, without times and ids."""
    return [
        (t.number, t.state.name, t.params, t.values, t.intermediate_values, t.user_attrs, t.system_attrs) for t in ledger.trials
    ]
