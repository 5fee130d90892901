"""Users' own observers: told everything, and no harm to the search."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from rebnn_search import SearchObserver
from rebnn_search.config import UserError
from rebnn_search.execution.observers import Observers, make_observers
from rebnn_search.study.spec import Params

MODULE = """
def fails():
    raise OSError("no such display")


number = 3
"""


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "my_observers.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("my_observers", None)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("my_observers", "expected MODULE:NAME"),
        ("my_observers:Nobody", "cannot be imported: module 'my_observers' has no attribute 'Nobody'"),
        ("my_observers:number", "is a int, nothing that can be called"),
        (
            "my_observers:fails",
            r"--observer my_observers:fails: cannot be made: OSError: no such display \(.*my_observers.py:\d+\)",
        ),
        ("pathlib:Path", "--observer pathlib:Path: makes a PosixPath, not a rebnn_search.SearchObserver"),
    ],
)
def test_what_is_no_observer_is_refused(modules: None, name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_observers([name])


class Display(SearchObserver):
    def __init__(self) -> None:
        self.seen: list[str] = []

    def started(self, number: int, name: str, params: Params, resumed_at: int) -> None:
        self.seen.append(f"{name} {params}")

    def finished(self, number: int, state: str, reason: str | None, summary: Mapping[str, float]) -> None:
        self.seen.append(state)


class Broken(Display):
    def started(self, number: int, name: str, params: Params, resumed_at: int) -> None:
        raise RuntimeError("postgresql://me:secret@host is away")


def test_one_that_raises_is_told_nothing_more_and_the_others_are(capsys: pytest.CaptureFixture[str]) -> None:
    display, broken, whole = Display(), Broken(), Display()
    with Observers(display, [broken, whole]) as told:
        told.started(0, "#0", {"lr": 0.1}, 0)
        told.finished(0, "COMPLETE", None, {})
    assert display.seen == whole.seen == ["#0 {'lr': 0.1}", "COMPLETE"]
    assert broken.seen == []
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("observer Broken raised RuntimeError: postgresql://me:***@host is away (")
    assert line.endswith("; it is told nothing more, and the search goes on")


def test_what_the_display_raises_is_a_fault_of_the_program() -> None:
    with pytest.raises(RuntimeError, match="is away"), Observers(Broken(), []) as told:
        told.started(0, "#0", {}, 0)
