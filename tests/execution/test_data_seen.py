"""What is told of a search's data, and that trials which found other data are named."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from rebnn_search.execution.controller import Controller
from rebnn_search.execution.data_seen import lines_of
from rebnn_search.execution.events import SearchObserver, TrialTracking
from rebnn_search.execution.serial import SerialExecutor
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.study.ledger import Ledger
from rebnn_search.study.load import load_search
from rebnn_search.study.search import Search

RECIPE = """
data: {name: image_folder, root: pictures, image_size: 4, skip_damaged: true, augment: none}
network: {name: mlp, width: 8, depth: 1}
optimizer: {name: adam, lr: 1e-2}
epochs: 1
batch_size: 8
"""
SPACE = (
    "{recipe: recipe.yaml, space: {optimizer.lr: {choice: [1e-3, 1e-2, 1e-4, 1e-5]}}, trials: 2, pruner: none, sampler: random}"
)


class Watches(SearchObserver):
    def __init__(self) -> None:
        self.told: list[str] = []

    def found_data(self, text: str) -> None:
        self.told.append(text)


def trained(search: Search, folder: SearchFolder) -> tuple[list[str], list[str]]:
    """What an observer of a run told, and what the search's record says of its data after it."""
    watches = Watches()
    ledger = Ledger(folder, search)
    folder.write_search("space.yaml", search.dump(), None, ledger.search_id)
    with SerialExecutor() as executor:
        executor.run(Controller(search, folder, ledger, TrialTracking(), watches))
    return watches.told, lines_of(ledger)


def test_what_was_found_is_told_once_and_a_trial_that_found_something_else_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, count in (("cat", 40), ("dog", 20)):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (4, 4), (number, 0, 0)).save(tmp_path / "pictures" / name / f"{number:02}.png")
    (tmp_path / "pictures" / "dog" / "07.png").write_bytes(b"no picture")
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    (tmp_path / "space.yaml").write_text(SPACE)
    folder = SearchFolder(tmp_path / "results" / "s")
    folder.path.mkdir(parents=True)

    with pytest.warns(match="1 of 60 pictures"):
        told, kept = trained(load_search("space.yaml"), folder)
    first = "2 classes, 47 to train on, 6 to validate on, 6 to test; largest 'cat' 68.1 %, smallest 'dog' 31.9 %"
    assert told[0] == first and "dog/07.png" in told[1] and len(told) == 2
    assert kept == told

    search = load_search("space.yaml", ["trials=3"])
    assert trained(search, folder) == ([], kept)  # of the same data nothing is said again

    for number in range(40, 60):
        Image.new("RGB", (4, 4), (number, 0, 0)).save(tmp_path / "pictures" / "dog" / f"{number}.png")
    told, kept = trained(load_search("space.yaml", ["trials=4"]), folder)
    assert told == [kept[2]] and kept[2].startswith("trial #3 found other data than trial #0")
    assert "63 to train on" in told[0] and first in told[0]
