"""The pictures of a search by name."""

from rebnn_search.base.discovery import import_modules
from rebnn_search.report.figures.base import FIGURES, Figure, figure, style

__all__ = ["FIGURES", "Figure", "figure", "style"]

import_modules(__name__)
