"""``auto``: which sampler and pruner a search takes that names none.

The choice is a function of the search file and its recipe, made once, when the search begins: its folder holds what was chosen, and a
resumed search goes on with that. What each rule rests on is measured in ``benchmarks/README.md``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from rebnn_search.config import Document
from rebnn_search.study.samplers import has_trait

if TYPE_CHECKING:
    from rebnn_search.study.search import Search

AUTO = "auto"
"""What a file says, or leaves out, to have it chosen."""
FEWEST_REPORTS = 8
"""A shorter training has no report early enough to be a look, and late enough to tell."""
FEWEST_TRIALS = 30
"""With fewer, promotion trains so few to their ends that it chooses worse than the median pruner, if for a third of the cost."""
FIRST_LOOK, SECOND_LOOK = 1 / 40, 1 / 10
"""Of a training."""
LATE = ("gamma", "scale_init", "optimizer.weight_decay")
"""Sections of a recipe, and a key, whose values early curves do not tell apart at a learning rate that is worth training with."""


@dataclass(frozen=True)
class Choice:
    """A part that was chosen.

    Attributes:
        part: As a search file would have it.
        reason: Why, in a few words.
    """

    part: dict[str, Any]
    reason: str


def take_auto(document: Document) -> tuple[str, ...]:
    """Take from a search file the keys that ask for ``auto``, and return them with those that it leaves out."""
    asked = tuple(key for key in CHOOSE if document.data.get(key, AUTO) in (AUTO, {"name": AUTO}))
    for key in asked:
        document.data.pop(key, None)
    return asked


def choose_sampler(search: Search) -> Choice:
    """TPE, or each point of a space once where there are trials for all of them."""
    size, trials = search.space.size(), search.spec.trials // search.spec.seeds
    if size is not None and size <= trials:
        return Choice({"name": "brute_force"}, f"the space has {size} points, and there are trials for all")
    return Choice({"name": "tpe"}, "the space has more points than there are trials")


def choose_pruner(search: Search) -> Choice:
    """Promotion with looks in proportion to a training, or pruning at the median where that does not fit; none where what is seen
    early does not tell what is best.
    """
    reports = shortest_training(search)
    if len(search.goals) > 1:
        return Choice({"name": "none"}, f"the first of {len(search.goals)} objectives alone would end what is best by another")
    if acts_late(search):
        return Choice({"name": "none"}, "of γ, scaling factors and weight decay alone early curves do not tell which ends best")
    if search.spec.seeds > 1:
        return Choice({"name": "median"}, f"configurations are compared by their {search.spec.seeds} seeds")
    if has_trait(search.spec.sampler, "whole_trainings"):
        reason = f"{search.spec.sampler.name} learns from whole trainings alone, of which promotion has few"
        return Choice({"name": "median"}, reason)
    if reports < FEWEST_REPORTS:
        return Choice({"name": "median"}, f"trainings of {reports} reports are too short to wait in")
    if search.trials < FEWEST_TRIALS:
        return Choice({"name": "median"}, f"{search.trials} trials are too few to promote among")
    return Choice(promotion(reports), f"{search.trials} trials of {reports} reports: all get a look, the best go on")


def promotion(reports: int) -> dict[str, Any]:
    """Promotion for trainings of so many reports."""
    first = max(1, round(FIRST_LOOK * reports))
    return {"name": "promotion", "first_look": first, "second_look": max(first + 1, math.ceil(SECOND_LOOK * reports))}


CHOOSE: Mapping[str, Callable[[Search], Choice]] = {"sampler": choose_sampler, "pruner": choose_pruner}
"""By key, in the order in which they are chosen."""


def acts_late(search: Search) -> bool:
    """Whether nothing varies but what is decided late in a training."""
    return all(key in LATE or key.startswith(tuple(f"{part}." for part in LATE)) for key in search.space.parameters)


def shortest_training(search: Search) -> int:
    """Reports of the shortest training that a space allows."""
    recipe = search.recipe({})

    def least(key: str, fixed: int) -> int:
        varies = search.space.parameters.get(key)
        return fixed if varies is None else min(cast(list[int], varies.examples()))

    return least("epochs", recipe.epochs) * least("reports_per_epoch", recipe.reports_per_epoch)
