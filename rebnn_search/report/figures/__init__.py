"""The pictures of a search by name."""

from rebnn_search.base.discovery import import_modules
from rebnn_search.report.figures.base import FIGURES, TRIAL_MARK, Figure, figure, style

__all__ = ["FIGURES", "TRIAL_MARK", "Figure", "figure", "style"]

import_modules(__name__)
