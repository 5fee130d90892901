"""What is told of a search's data, and that trials which found other data are named."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from rebnn_search.execution.controller import Controller
from rebnn_search.execution.data_seen import COMPARED, KEPT, DataSeen, lines_of
from rebnn_search.execution.events import SearchObserver, TrialTracking
from rebnn_search.execution.serial import SerialExecutor
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.study.attributes import DATA
from rebnn_search.study.ledger import Ledger
from rebnn_search.study.load import load_search
from rebnn_search.study.search import Search
from rebnn_search.training.data.facts import DataFacts

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


@pytest.fixture
def digits_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Search:
    monkeypatch.chdir(tmp_path)
    recipe = RECIPE.replace("{name: image_folder, root: pictures, image_size: 4, skip_damaged: true, augment: none}", "digits")
    (tmp_path / "recipe.yaml").write_text(recipe)
    (tmp_path / "space.yaml").write_text(SPACE)
    return load_search("space.yaml")


class Watches(SearchObserver):
    def __init__(self) -> None:
        self.told: list[str] = []

    def found_data(self, text: str) -> None:
        self.told.append(text)


def test_options_that_find_the_same_are_compared_and_not_counted(digits_search: Search) -> None:
    ledger, watches = Ledger(None, digits_search), Watches()
    seen = DataSeen(ledger, watches)
    for number in range(150):
        seen.take(number, {"name": "digits", "augment": {"name": "crop_flip", "padding": number}}, DataFacts("one", "a"))
    assert watches.told == ["one"] and len(ledger.noted(DATA)["first"]) == 1
    seen.take(150, "digits", DataFacts("two", "b"))
    seen.take(0, {"name": "digits"}, DataFacts("two", "b"))
    assert "trial #150 found other data than trial #0 with the same options" in watches.told[1]
    assert "trial #0 found other data than when it began" in watches.told[2]
    for number in range(2 * COMPARED):
        seen.take(number, {"name": "digits", "validation": number / 1000}, DataFacts(f"text {number}", str(number)))
        seen.take(number, {"name": "digits", "validation": number / 1000}, DataFacts(f"text {number}", str(number)))
    assert len(watches.told) == len(set(watches.told)) == 3 + 2 * COMPARED
    noted = ledger.noted(DATA)
    assert (len(noted["first"]), len(noted["lines"])) == (COMPARED, KEPT)


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
