"""Validation loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from rebnn_search.base.metrics import VAL_LOSS
from rebnn_search.study.objectives.base import OBJECTIVES, ReportedObjective


@OBJECTIVES.register(VAL_LOSS)
class ValidationLoss(ReportedObjective):
    """Mean cross-entropy on the validation split, in nats; less is better."""

    unit = "nats"
    units: ClassVar[Mapping[str, float]] = {"": 1.0, "nats": 1.0}
    least = 0.0
    form = ".4f"
