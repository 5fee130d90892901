"""No configuration is trained twice while there is another."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from rebnn_search.storage.folder import SearchFolder
from rebnn_search.study.ledger import Ledger
from rebnn_search.study.load import load_search
from rebnn_search.study.search import Search
from rebnn_search.training.report_log import TrackedReport

SPACE = {
    "gamma.strategy": {"choice": ["flip_ratio", "max_gradient", "constant"]},
    "gamma.value": {"choice": [0.0, 1e-4], "when": {"gamma.strategy": "constant"}},
    "optimizer.lr": {"log_uniform": [1e-3, 1e-1]},
}
FINITE = {**SPACE, "optimizer.lr": {"choice": [1e-3, 3e-3, 1e-2, 3e-2, 1e-1]}}  # 4 × 5 points
METRICS = {"train/loss": 1.0, "val/top1": 50.0, "val/top5": 90.0, "flip_ratio": 0.0, "lr": 0.01}


def load(folder: Path, sampler: Any, **keys: Any) -> Search:
    recipe = "{data: {name: digits}, network: {name: mlp}, optimizer: {name: adam, lr: 1e-2}, epochs: 10}"
    (folder / "recipe.yaml").write_text(recipe, encoding="utf-8")
    space = {"recipe": "recipe.yaml", "space": FINITE, "trials": 20, "sampler": sampler, "pruner": "none", **keys}
    (folder / "space.yaml").write_text(yaml.safe_dump(space), encoding="utf-8")
    return load_search(folder / "space.yaml")


def run(ledger: Ledger, trials: int) -> list[dict[str, Any]]:
    """Train trials that are the better, the nearer their learning rate to 10^-2: what a sampler then proposes again and again."""
    found = []
    for _ in range(trials):
        number, params = ledger.ask()
        loss = abs(params["optimizer.lr"] - 1e-2)
        report = TrackedReport(step=40, epoch=10.0, timestamp=number, metrics={**METRICS, "val/loss": loss}, final=True)
        ledger.report(number, report)
        ledger.complete(number)
        found.append(params)
    return found


def distinct(configurations: list[dict[str, Any]]) -> int:
    return len({tuple(sorted(params.items())) for params in configurations})


@pytest.mark.parametrize("sampler", [{"name": "tpe", "n_startup_trials": 4}, "random", "qmc"])
def test_a_finite_space_is_tried_whole(tmp_path: Path, sampler: Any) -> None:
    found = run(Ledger(None, load(tmp_path, sampler)), 20)
    assert distinct(found) == 20


def test_a_sequence_goes_on_past_what_was_tried(tmp_path: Path) -> None:
    """And does not come to the same point for every trial from there on, so that all of them are drawn at random."""
    space = {"epochs": {"int": [1, 8]}, "batch_size": {"int": [32, 64], "step": 8}}  # 40 points
    ledger = Ledger(None, load(tmp_path, "qmc", space={**space, "optimizer.lr": {"choice": [1e-2]}}, trials=16))
    assert distinct(run(ledger, 16)) == 16
    kept = ledger._drafts.get_study_system_attrs(ledger._study_id)
    ids = [value for name, value in kept.items() if name.startswith("qmc:")]
    assert len(ids) == 1 and ids[0] >= 14, "the first trial knows no space yet"


def test_what_lies_in_no_sequence_varies_all_the_same(tmp_path: Path) -> None:
    space = {**SPACE, "gamma.value": {"log_uniform": [1e-6, 1e-2], "when": {"gamma.strategy": "constant"}}}
    fixed = [{"gamma.strategy": "flip_ratio", "optimizer.lr": 1e-2}]
    found = run(Ledger(None, load(tmp_path, "qmc", space=space, fixed=fixed)), 20)
    values = [params["gamma.value"] for params in found if "gamma.value" in params]
    assert len(values) > 3 and len(set(values)) == len(values)


def test_what_is_fixed_and_what_came_before_counts_too(tmp_path: Path) -> None:
    fixed = [{"gamma.strategy": "flip_ratio", "optimizer.lr": 1e-2}] * 2  # twice on purpose: it is what was asked for
    search = load(tmp_path, {"name": "tpe", "n_startup_trials": 4}, fixed=fixed)
    whole = run(Ledger(None, search), 20)
    assert distinct(whole) == 19
    folder = SearchFolder(tmp_path / "s")
    folder.path.mkdir()
    first = Ledger(folder, search)
    folder.write_search("space.yaml", search.dump(), None, first.search_id)
    assert [*run(first, 13), *run(Ledger(folder, search), 7)] == whole


def test_with_nothing_left_one_is_trained_again(tmp_path: Path) -> None:
    found = run(Ledger(None, load(tmp_path, "random", trials=22)), 22)
    assert distinct(found) == 20


def test_seeds_of_a_configuration_are_no_repetition(tmp_path: Path) -> None:
    found = run(Ledger(None, load(tmp_path, "tpe", trials=20, seeds=2)), 20)
    assert found[::2] == found[1::2]
    assert distinct(found) == 10
