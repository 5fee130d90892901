import io
import re
from dataclasses import replace
from math import inf, nan

import pytest
from rich.console import Console

from rebnn_search.base.duration import duration_text
from rebnn_search.base.screen import is_screen
from rebnn_search.study.result import Best, Result, TrialRow
from rebnn_search.study.spec import Objective
from rebnn_search.study.table import cells, epochs_text
from rebnn_search.terminal import LiveProgress, PlainProgress, print_result
from rebnn_search.terminal.live import sparkline
from rebnn_search.terminal.state import SearchState
from rebnn_search.training.report_log import TrackedReport


class Screen(io.StringIO):
    """A terminal as a console sees it."""

    def isatty(self) -> bool:
        return True


def result(**changes: object) -> Result:
    def row(number: int, state: str, loss: float | None, reason: str | None = None) -> TrialRow:
        recipe = {
            "gamma.strategy": "flip_ratio",
            "gamma.value": None,
            "optimizer.lr": 0.00123,
            "scale_init.strategy": "mean_abs",
        }
        return TrialRow(number, number, None, state, {}, recipe, 12.0, loss, 98.5, 100.0, 1.5e-4, reason, None)

    rows = [
        row(3, "COMPLETE", 0.0475),
        row(1, "COMPLETE", 0.2),
        row(0, "PRUNED", 1.5),
        row(2, "FAIL", None, "diverged: loss is nan"),
    ]
    values: dict[str, object] = {
        "rows": rows,
        "best": Best(3, 96.9, 100.0, "/x/best.yaml", "/x/model.safetensors", [3]),
        **changes,
    }
    return Result("gamma-1", "/x", "sqlite:////x/mlflow.db", "gamma", "id", "val/loss", "minimize", **values)  # type: ignore[arg-type]


def shown(width: int, terminal: bool = True, **changes: object) -> str:
    out = Screen() if terminal else io.StringIO()
    console = Console(file=out, width=width, no_color=True, highlight=False, _environ={"TERM": "xterm"})
    print_result(console, result(**changes), "mlflow ui", "python -m rebnn_search.run gamma.yaml --resume --name gamma-1")
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue()) if terminal else out.getvalue()


@pytest.mark.parametrize("width", [40, 60, 80, 130])
def test_the_leaderboard_fits_and_no_cell_is_cut(width: int) -> None:
    table = shown(width).split("\n\n")[0].splitlines()
    assert all(len(line.rstrip()) <= max(width, 60) for line in table)
    assert "…" not in "".join(table)
    for text in ("#3", "0.0475", "98.50", "COMPLETE"):
        assert text in table[1]
    assert ("Top-5" in table[0]) == (width >= 80)  # before it goes what is the same in all rows
    assert ("left out for want of width: " in " ".join(table[5:])) == (width < 130)


def test_what_varies_is_kept_before_what_is_the_same_in_all_rows() -> None:
    rows = [replace(row, recipe={**row.recipe, "network.kind": kind}) for row, kind in zip(result().rows, "abcd", strict=True)]
    head, *lines = shown(80, rows=rows).split("\n\n")[0].splitlines()
    assert "network.kind" in head and "γ-strategy" not in head and "scale init" not in head
    assert [line.split()[2] for line in lines[:2]] == ["a", "b"]
    assert "left out for want of width: γ-strategy, γ value, lr, scale init, Top-5" in lines[-1]


def test_a_choice_of_nothing_is_told_from_what_does_not_apply() -> None:
    row = replace(result().rows[0], params={"class_weight": None}, recipe={"class_weight": None, "gamma.value": None})
    texts = cells(result(rows=[row]), 1, [row])
    assert texts[2:4] == ["null", ""]


def test_what_others_files_say_does_not_steer_the_terminal() -> None:
    evil = "\x1b[2J\x1b]0;owned\x07"
    rows = [replace(row, reason=evil, recipe={**row.recipe, "gamma.strategy": evil}) for row in result().rows]
    for terminal in (True, False):
        text = shown(200, terminal, rows=rows)
        assert "owned" in text and "\x1b[2J" not in text and "\x1b]" not in text and "\x07" not in text
    for live in (True, False):
        text = watched(200, live, name=evil, reason=evil)
        assert "owned" in text and "\x1b]" not in text and "\x07" not in text


@pytest.mark.parametrize(("terminal", "variables", "screen"), [
    (True, {}, True), (True, {"TERM": "dumb"}, False), (False, {}, False), (False, {"FORCE_COLOR": "1"}, False),
])  # fmt: skip
def test_only_what_can_be_redrawn_is_a_screen(terminal: bool, variables: dict[str, str], screen: bool) -> None:
    console = Console(file=Screen() if terminal else io.StringIO(), _environ={"TERM": "xterm", **variables})
    assert is_screen(console) is screen


def test_what_a_person_needs_next_is_whole_on_one_line() -> None:
    text = shown(40)
    assert "\nchosen: trial #3, test Top-1 96.90 %, Top-5 100.00 %\n" in text
    assert "\ncontinue or enlarge the search: python -m rebnn_search.run gamma.yaml --resume --name gamma-1\n" in text
    assert "\nfailed: #2: diverged: loss is nan\n" in text


def test_a_pipe_gets_the_whole_table_in_plain_text() -> None:
    text = shown(20, terminal=False)
    assert "Top-5" in text
    assert "\x1b" not in text


def test_other_endings_say_so() -> None:
    assert "gamma-1 was stopped; continue it with" in shown(80, best=None, interrupted=True)
    assert "no trial was trained to its end" in shown(80, best=None)
    assert "tracking is behind (away)" in shown(80, untracked="away")


def watched(width: int, live: bool, name: str = "flip_ratio", reason: str = "the worker died") -> str:
    out = Screen() if live else io.StringIO()
    console = Console(file=out, width=width, no_color=True, highlight=False, _environ={"TERM": "xterm"})
    state = SearchState(Objective(), epochs=12)
    progress = (LiveProgress if live else PlainProgress)(console, state)
    with progress:
        progress.began(5, {0: ("COMPLETE", {"val/loss": 0.5, "epochs": 12.0})})
        for number in (1, 2, 3):
            progress.started(number, f"{name} #{number}", {}, 0)
        for step in (1, 2):
            progress.reported(2, TrackedReport(step, step / 4, 0, False, {"val/loss": 1.0 / step}))
        progress.failed(3, reason, 1)
        progress.finished(1, "PRUNED", "median", {"val/loss": 0.9, "epochs": 3.0})
        progress.finished(3, "FAIL", "diverged", {})
        if live:
            console.print(progress)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue())


@pytest.mark.parametrize("width", [40, 130])
def test_the_live_picture_counts_and_each_part_has_its_line(width: int) -> None:
    text = watched(width, live=True)
    picture = text[text.rindex("3/5 trials") :].splitlines()
    assert "1 done" in text
    assert "1 pruned" in text
    assert any(set(line.strip()) <= set("━╸╺") and line.strip() for line in picture)
    assert "9 epochs saved by pruning" in text.replace("\n", " ").replace("  ", " ")
    assert "0.5000" in text
    assert any("▁" in line for line in picture) == (width == 130)


def test_plain_lines() -> None:
    lines = watched(40, live=False).splitlines()
    assert lines[0] == "5 trials, 1 of them done before"
    assert lines[1] == "trial flip_ratio #3 failed (1): the worker died; starting it again"
    assert lines[2].startswith("[2/5] PRUNED   flip_ratio #1  3 epochs")
    assert "(diverged)" in lines[3]
    assert "best #0 0.5000" in lines[3]


def test_small_things() -> None:
    assert [duration_text(s) for s in (5, 200, 7500)] == ["5 s", "3 min 20 s", "2 h 05 min"]
    assert sparkline([3.0, 1.0, 2.0]) == "█▁▅"
    assert sparkline([1.0, 1.0]) == "▁▁"
    assert sparkline([]) == ""
    assert sparkline([inf, 3.0, nan, 1.0, -inf]) == " █ ▁ "
    assert sparkline([nan]) == " "
    assert [epochs_text(epochs) for epochs in (1200.0, 0.25, 12.0, 1 / 3, 12345.0, None)] == [
        "1200",
        "0.25",
        "12",
        "0.33",
        "12345",
        "",
    ]
