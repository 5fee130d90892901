"""Random search."""

from __future__ import annotations

import optuna

from rebnn_search.study.samplers.base import SAMPLERS


@SAMPLERS.register("random")
class Random(optuna.samplers.RandomSampler):
    """Each parameter drawn at random, whatever came before. No options."""

    complete_history = True  # it asks for none
    multi_objective = True
