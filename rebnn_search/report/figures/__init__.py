"""The pictures of a search by name."""

from rebnn_search.report.figures import _latent, _loss, _oscillation, _searcher  # noqa: F401 - each registers its own
from rebnn_search.report.figures._base import FIGURES, style

__all__ = ["FIGURES", "style"]
