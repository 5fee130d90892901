"""What a notebook shows: progress in one output, results as HTML; and the notebook of the documents, run."""

from __future__ import annotations

import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell

from rebnn_search.api import SearchResult
from rebnn_search.base.metrics import EPOCHS, VAL_LOSS
from rebnn_search.refit import RefitResult
from rebnn_search.refit._result import SeedScore
from rebnn_search.study.result import Best, Result, TrialRow
from rebnn_search.study.spec import Objective
from rebnn_search.terminal.html import SHOWN, near
from rebnn_search.terminal.notebook import NotebookProgress, in_notebook
from rebnn_search.terminal.state import SearchState
from rebnn_search.training.report_log import TrackedReport

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "docs" / "notebook.ipynb"
HTML = "text/html"
WIDGET = "application/vnd.jupyter.widget-view+json"


@pytest.fixture
def published() -> Iterator[list[dict[str, Any]]]:
    """What a cell would show, as its kernel would be told."""
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    shell.display_pub = CapturingDisplayPublisher(shell=shell)
    yield shell.display_pub.outputs
    InteractiveShell.clear_instance()


def drive(progress: NotebookProgress) -> None:
    with progress:
        progress.began(3, {0: ("PRUNED", {EPOCHS: 1.0})})
        progress.started(1, "#1 flip_ratio <b>", {}, 0)
        progress.reported(1, TrackedReport(1, 0.5, 0, False, {VAL_LOSS: 1.5}))
        progress.reported(1, TrackedReport(2, 1.0, 0, True, {VAL_LOSS: 1.25}))
        progress.finished(1, "COMPLETE", None, {EPOCHS: 4.0, VAL_LOSS: 1.25})
        progress.started(2, "#2 constant", {}, 0)
        progress.failed(2, "its worker died", 1)
        progress.finished(2, "FAIL", "loss is <nan>", {})


def test_progress_is_one_output_that_is_replaced(published: list[dict[str, Any]]) -> None:
    drive(NotebookProgress(SearchState(Objective(), 4.0), widgets=False))
    first, *later = published
    assert later and all(output["update"] for output in later) and not first["update"]
    assert {output["transient"]["display_id"] for output in published} == {first["transient"]["display_id"]}
    assert 'max="3" value="1"' in first["data"][HTML]
    last = later[-1]["data"][HTML]
    assert 'value="3"' in last and "1 done, 1 pruned, 1 failed, 0 running" in last
    assert "best val/loss 1.2500 (#1 flip_ratio &lt;b&gt;)" in last and "3 epochs saved" in last
    assert "FAIL #2 constant: loss is &lt;nan&gt;" in last and "its worker died; starting it again" in last


def test_progress_is_one_widget_where_there_are_widgets(published: list[dict[str, Any]]) -> None:
    import ipywidgets

    progress = NotebookProgress(SearchState(Objective(), 4.0))
    drive(progress)
    (output,) = published
    assert WIDGET in output["data"]
    widgets = {type(widget): widget for widget in progress._picture.__dict__.values()}  # type: ignore[union-attr]
    assert (widgets[ipywidgets.IntProgress].value, widgets[ipywidgets.IntProgress].max) == (3, 3)
    assert "<b>3/3 trials</b>: 1 done, 1 pruned, 1 failed, 0 running" in widgets[ipywidgets.HTML].value


def test_a_running_trial_has_its_row(published: list[dict[str, Any]]) -> None:
    progress = NotebookProgress(SearchState(Objective(), 4.0), widgets=False)
    with progress:
        progress.began(3, {})
        progress.started(1, "#1 <i>", {}, 0)
        for step, loss in enumerate((3.0, 2.0, 1.0), start=1):
            progress.reported(1, TrackedReport(step, step / 2, 0, False, {VAL_LOSS: loss}))
    last = published[-1]["data"][HTML]
    assert "#1 &lt;i&gt;</td><td>epoch 1.5/4</td><td>1.0000</td><td>█▅▁</td>" in last


def test_this_is_no_notebook(published: list[dict[str, Any]]) -> None:
    assert not in_notebook()


def row(number: int, state: str = "COMPLETE") -> TrialRow:
    return TrialRow(number, number, None, state, {}, {"gamma.strategy": "<x>"}, 2.0, 0.5, 90.0, 99.0, 1e-3, None, None)


def result(rows: int, *, best: Best | None = None, interrupted: bool = False) -> SearchResult:
    made = Result(
        "s", "results/s", "sqlite:///x", "e", "", "val/loss", "minimize", [row(n) for n in range(rows)], best, interrupted
    )
    return SearchResult(made, "sqlite:///x")


def test_a_result_shows_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    best = Best(0, 91.5, 99.0, str(tmp_path / "results/s/best.yaml"), "/elsewhere/model.safetensors", [0])
    text = result(2, best=best)._repr_html_()
    assert text.count("<tr>") == 3 and "&lt;x&gt;" in text and "<x>" not in text
    assert "chosen: trial #0, test Top-1 91.50 %" in text and "<code>results/s/best.yaml</code>" in text
    assert near("/elsewhere/model.safetensors") == "/elsewhere/model.safetensors"
    assert "so there is none to choose" in result(2)._repr_html_()
    assert "<code>resume=True</code> goes on" in result(2, interrupted=True)._repr_html_()
    many = result(SHOWN + 3)._repr_html_()
    assert many.count("<tr>") == SHOWN + 1 and f"the first {SHOWN} of {SHOWN + 3}" in many


def test_a_refit_shows_itself() -> None:
    seeds = [SeedScore(0, 0.25, {"loss": 0.3, "top1": 90.0, "top5": 99.0}), SeedScore(1, None, None, "loss is <nan>")]
    text = RefitResult("s", 3, 12, seeds)._repr_html_()
    assert text.count("<tr>") == 3 and "test Top-1 90.00 %" in text and "loss is &lt;nan&gt;" in text


def texts(cell: Any) -> list[str]:
    return [output["text"] for output in cell.outputs if output.output_type == "stream"]


def kinds(cell: Any) -> list[set[str]]:
    return [set(output["data"]) for output in cell.outputs if output.output_type in ("display_data", "execute_result")]


@pytest.mark.slow(minutes=1)
def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = runpy.run_path(str(ROOT / "docs" / "make_notebook.py"))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=":")  # the kernel is a process of its own
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    made["execute"](notebook, tmp_path)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    searched = next(cell for cell in cells if "trials=9" in cell.source)
    progress, shown = kinds(searched)
    assert WIDGET in progress and HTML in shown, "one output for progress, and the result"
    said = [line for cell in cells for text in texts(cell) for line in text.splitlines() if not line.startswith("waiting: ")]
    assert len(said) == 3 and said[0].startswith("training_loss, "), "neither Ray nor anybody else has a word"
    assert searched.outputs[-1]["data"]["text/plain"].startswith("<SearchResult of notebook: 9 trials, best #")
    assert any("image/png" in kind for cell in cells for kind in kinds(cell))
    assert sum(HTML in kind for cell in cells for kind in kinds(cell)) >= 3
    assert (tmp_path / "results" / "notebook" / "result.json").is_file()


def test_the_notebook_in_the_documents_is_what_it_shows() -> None:
    """Run, in order, and without a trace of the machine it was run on."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1)), "run: python docs/make_notebook.py"
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert not re.search(r"/(home|tmp|work|root|Users)/", text)
    assert len(text) < 400_000
