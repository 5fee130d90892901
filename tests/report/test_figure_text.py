"""A user's words in figures."""

from io import BytesIO

from matplotlib.text import Text
from support.made_search import MadeSearch

from rebnn_search.report.figures import FIGURES, style
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
