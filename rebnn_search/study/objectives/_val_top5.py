"""Validation Top-5."""

from __future__ import annotations

from rebnn_search.base.metrics import VAL_TOP5
from rebnn_search.study.objectives.base import OBJECTIVES, Share


@OBJECTIVES.register(VAL_TOP5)
class ValidationTop5(Share):
    """Percent of the validation split whose label is among the five most probable classes; more is better."""
