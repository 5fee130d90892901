"""Until when each part of `auto` may take, so that all of it keeps to the time."""

from __future__ import annotations

from dataclasses import dataclass

from rebnn_search.auto._plan import Plan, kept_seconds, look_back_seconds
from rebnn_search.auto.presets import Preset

REPORT_SECONDS = 15.0
"""Kept for drawing the report, of a time of `LONG_SECONDS` or more."""
LONG_SECONDS = 120.0
SLOWER = 1.1
"""How much longer a training may take than the longest before it: with no room for that none is begun."""


@dataclass(frozen=True)
class Deadlines:
    """By `time.monotonic`, the last first: each part leaves room for those that follow it.

    Attributes:
        report: Of the report, and of everything.
        look_back: Of what is found out once there is a model.
        model: Of what makes the model: last trainings, distilling.
        search: Of the search.
    """

    report: float
    look_back: float
    model: float
    search: float


def deadlines(plan: Plan, preset: Preset, begun: float, seconds: float) -> Deadlines:
    """Share a time out.

    Args:
        plan: What is trained, and how long a training takes.
        preset: What else is done.
        begun: When the time began.
        seconds: How much there is.
    """
    drawing = REPORT_SECONDS if plan.searched and seconds >= LONG_SECONDS else 0.0
    report = begun + seconds
    look_back = report - kept_seconds(seconds) - drawing
    compared = plan.refit_seconds if plan.later and preset.real_weights else 0.0  # one training, in real weights
    model = look_back - look_back_seconds(seconds) - compared
    return Deadlines(report, look_back, model, model - (plan.later * plan.refit_seconds - compared))
