"""Validation Top-1."""

from __future__ import annotations

from rebnn_search.base.metrics import VAL_TOP1
from rebnn_search.study.objectives.base import OBJECTIVES, Share


@OBJECTIVES.register(VAL_TOP1)
class ValidationTop1(Share):
    """Percent of the validation split whose label is the most probable class; more is better."""
