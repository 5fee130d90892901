"""A user's words in figures."""

from io import BytesIO
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
from matplotlib.figure import Figure as Drawing
from matplotlib.text import Text
from optuna import Study
from support.made_search import MadeSearch

from rebnn_search.config import Notice
from rebnn_search.report import write_report
from rebnn_search.report.figures import FIGURES, style
from rebnn_search.report.figures._searcher import _drawn
from rebnn_search.report.figures.base import Figure
from rebnn_search.report.tracked import TrackedSearch
from rebnn_search.testing.recorded_search import _evaluation


def test_class_names_may_hold_dollars() -> None:
    """Which matplotlib takes for formulas."""
    search = MadeSearch(7)
    search.evaluation = _evaluation([0, 1]).model_copy(update={"classes": ["$$", "$0-$25k"]})
    with style():
        for name in ("confusion", "mistakes"):
            drawn = next(figure for figure in FIGURES if figure.name == name).draw(search)
            assert drawn is not None
            drawn.savefig(BytesIO())
            texts = [text.get_text() for text in drawn.findobj(Text)]
            assert any("$0-$25k" in text.replace("\\$", "$") for text in texts)


def test_values_may_hold_dollars(tmp_path: Path) -> None:
    kinds = ["$$", "a $x_1$ b", "c"]
    search = MadeSearch(8, space={"network.kind": {"choice": kinds}, "optimizer.lr": {"log_uniform": [1e-4, 1e-1]}})
    for number in range(8):
        search.change(number, params={"network.kind": kinds[number % 3], "optimizer.lr": 10 ** -(1 + number / 4)})
    with style():
        for name in ("parallel_coordinates", "slice"):
            drawn = next(figure for figure in FIGURES if figure.name == name).draw(search)
            assert drawn is not None
            drawn.savefig(BytesIO())


def test_a_plot_of_optuna_s_that_fails_leaves_no_style_and_no_figure() -> None:
    def draw(study: Study) -> object:
        plt.style.use("ggplot")
        plt.subplots()
        raise ZeroDivisionError

    with style():
        before = dict(mpl.rcParams), plt.get_fignums()
        with pytest.raises(ZeroDivisionError):
            _drawn(MadeSearch(7), draw, (4.0, 3.0))
        assert (dict(mpl.rcParams), plt.get_fignums()) == before


def test_a_figure_that_cannot_be_drawn_is_left_out_and_the_report_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = MadeSearch(7)

    def formula(search: TrackedSearch) -> Drawing:
        drawing = Drawing()
        drawing.suptitle("$$")
        return drawing

    def boom(search: TrackedSearch) -> Drawing:
        raise ZeroDivisionError("nothing to divide by")

    figures = [Figure(name, name, name, draw, 0) for name, draw in (("formula", formula), ("boom", boom))]
    sound = [figure for figure in FIGURES if figure.name in ("history", "slice")]
    every = [*figures, *sound]
    monkeypatch.setattr(type(FIGURES), "__iter__", lambda self: iter(every))
    with pytest.warns(Notice) as told:
        written = write_report(search, tmp_path)
    said = [str(notice.message) for notice in told if isinstance(notice.message, Notice)]
    assert len(said) == 2
    assert said[0].startswith("the figure boom is left out: ZeroDivisionError: nothing to divide by")
    assert said[1].startswith("the figure formula is left out: ")
    names = {path.name for path in written}
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {f"{figure.name}.png" for figure in sound} <= names
    assert "report.html" in names and 'id="figure-slice"' in (tmp_path / "report.html").read_text(encoding="utf-8")
