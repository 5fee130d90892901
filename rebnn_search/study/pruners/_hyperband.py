"""Hyperband."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import optuna

from rebnn_search.study.pruners.base import PRUNERS


@PRUNERS.register("hyperband")
class Hyperband(optuna.pruners.HyperbandPruner):
    """Successive halving with several first rungs, trials shared out among them (Li et al., arXiv 1603.06560).

    Args:
        min_resource: Reports of the least first rung.
        max_resource: Reports of a whole training; ``auto`` takes them from the first trial that was trained to its end.
        reduction_factor: Of trials, from rung to rung.
        bootstrap_count: As of `successive_halving`.

    Raises:
        ValueError: If one is out of its range: Optuna itself would say so at the first report.
    """

    def __init__(
        self, min_resource: int = 1, max_resource: str | int = "auto", reduction_factor: int = 3, bootstrap_count: int = 0
    ) -> None:
        for name, value, least in (
            ("min_resource", min_resource, 1), ("reduction_factor", reduction_factor, 2), ("bootstrap_count", bootstrap_count, 0),
        ):  # fmt: skip
            if value < least:
                raise ValueError(f"{name} = {value!r}: must be at least {least}")
        super().__init__(min_resource, max_resource, reduction_factor, bootstrap_count)

    def _get_bracket_id(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> int:
        """A trial's bracket, by its number alone: Optuna goes by the study's name, too, and a search's name is to decide nothing."""
        named: Any = SimpleNamespace(study_name="")
        return super()._get_bracket_id(named, trial)
