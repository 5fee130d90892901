"""What is found out once there is a model: beside the finalists, beside what else there was, and what its columns are worth."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from rebnn_search.auto._alternatives import (
    REAL_WEIGHTS,
    Alternative,
    Fits,
    comparison_lines,
    majority_alternative,
    real_alternative,
)
from rebnn_search.auto._candidate import Made
from rebnn_search.auto._importance import ColumnImportance, importance, importance_lines
from rebnn_search.auto._leaderboard import Finalist, leaderboard, leaderboard_lines
from rebnn_search.auto._plan import Plan
from rebnn_search.auto.presets import Preset

SHARES = (0.4, 0.7)
"""Of the time that is left, for the leaderboard, and of what is left then, for the columns; the comparison is fitted beside these."""


@dataclass(frozen=True)
class LookBack:
    """What was found.

    Attributes:
        leaderboard: Of the finalists.
        left_out: Finalists that there was no time for.
        comparison: With what else there was.
        importance: Of the columns; None where the data are no table, or no network could be asked.
    """

    leaderboard: list[Finalist]
    left_out: list[str]
    comparison: list[Alternative]
    importance: ColumnImportance | None


def look_back(
    made: Made,
    plan: Plan,
    preset: Preset,
    images: bool,
    logits: Tensor | None,
    weights: Tensor | None,
    end: float,
    say: Callable[[str], None],
) -> LookBack:
    """Find out what there is time for, and say it.

    Args:
        made: The model and the other finalists.
        plan: By which they were trained.
        preset: How much is found out.
        images: Whether the data are images.
        logits: Of the judged network on the validation split; None where there is none.
        weights: (classes,) of a sample of each class; None where samples count alike.
        end: By `time.monotonic`.
        say: Called with each line.
    """
    real = plan.refit_seconds if preset.real_weights and plan.later else 0.0
    early = end - real  # the training in real weights has time of its own, and comes last
    rows, left_out = leaderboard(made, plan.data, weights, time.monotonic() + SHARES[0] * max(0.0, early - time.monotonic()))
    found = None
    with Fits(plan.data, images, weights is not None, made.shipped.trained_on, early) as fits:
        if made.judged is not None and logits is not None:
            until = time.monotonic() + SHARES[1] * max(0.0, early - time.monotonic())
            found = importance(made.judged, plan.data, logits, weights, preset.repeats, until)
        alternatives = [majority_alternative(plan.data), *fits.alternatives()]
    if preset.real_weights:
        alternatives.append(real_alternative(made.shipped, plan.data, plan.refit_seconds, end))
    else:
        alternatives.append(Alternative(REAL_WEIGHTS, None, None, left_out="the preset has no training for it"))
    for lines in (
        leaderboard_lines(rows, left_out),
        comparison_lines(alternatives, made.shipped.trained_on),
        [] if found is None else importance_lines(found),
    ):
        for line in lines:
            say(line)
    return LookBack(rows, left_out, alternatives, found)
