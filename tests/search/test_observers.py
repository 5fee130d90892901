"""A search's own observers, by their names on the command line and as objects in a program."""

from __future__ import annotations

from typing import Any

import pytest

from rebnn_search import SearchObserver, search
from rebnn_search.study.spec import Params

MODULE = """
from pathlib import Path

from rebnn_search import SearchObserver


class Notes(SearchObserver):
    def __exit__(self, *error):
        self.note("left")

    def started(self, number, name, params, resumed_at):
        self.note("started", number, sorted(params))

    def finished(self, number, state, reason, summary):
        self.note("finished", number, state)

    def ended(self, result):
        self.note("ended", result.best.number)

    def note(self, *words):
        with Path("notes.txt").open("a", encoding="utf-8") as file:
            print(*words, file=file)


class Breaks(Notes):
    def reported(self, number, report):
        raise ValueError("no route to host")
"""


def test_a_search_tells_those_named_of_everything(workplace: Any) -> None:
    (workplace.path / "my_observers.py").write_text(MODULE, encoding="utf-8")
    done = workplace.run("--observer", "my_observers:Notes", "--observer", "my_observers:Breaks", "--trials", "2", "--set",
                         "pruner.name=none", "--set", "resources.max_concurrent=1")  # fmt: skip
    assert done.stderr.count("observer Breaks raised ValueError: no route to host") == 1
    log = (workplace.path / "results" / "tiny_space-1" / "driver.log").read_text(encoding="utf-8")
    assert log.count("ValueError: no route to host") == 1 and "Traceback" in log
    notes = (workplace.path / "notes.txt").read_text(encoding="utf-8").splitlines()
    started, *notes = notes
    assert started.startswith("started 0 ['gamma")
    assert notes[0] == started, "the other one's"
    assert [note.split()[:2] for note in notes[1:]] == [
        ["finished", "0"], ["started", "1"], ["finished", "1"], ["ended", notes[-2].split()[1]], ["left"],
    ]  # fmt: skip


class Broken(SearchObserver):
    def started(self, number: int, name: str, params: Params, resumed_at: int) -> None:
        raise RuntimeError("no route to host")


def test_a_program_s_search_outlives_its_observer(
    workplace: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(workplace.path)
    found = search("tiny_space.yaml", trials=1, observer=Broken())
    assert found.best is not None
    assert capsys.readouterr().err.count("observer Broken raised RuntimeError: no route to host") == 1
