"""Optuna by itself: a study asked and told as its documentation shows, on recorded curves."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import optuna
from banks import Bank
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.trial import TrialState
from peers.loop import Method
from recorded_sampler import Candidates, RecordedSampler

warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
optuna.logging.set_verbosity(optuna.logging.ERROR)

SAMPLERS: dict[str, tuple[Callable[[int], BaseSampler], int]] = {
    "tpe": (lambda seed: optuna.samplers.TPESampler(seed=seed), 10),
    "gp": (lambda seed: optuna.samplers.GPSampler(seed=seed), 10),
    "cma_es": (lambda seed: optuna.samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False), 1),
}
"""What makes each sampler, at its defaults, and how many trials are random at first by these."""
PRUNERS: dict[str, Callable[[int], BasePruner]] = {
    "none": lambda reports: optuna.pruners.NopPruner(),
    "median": lambda reports: optuna.pruners.MedianPruner(),
    "hyperband": lambda reports: optuna.pruners.HyperbandPruner(min_resource=1, max_resource=reports),
    "wilcoxon": lambda reports: optuna.pruners.WilcoxonPruner(),
    "patient": lambda reports: optuna.pruners.PatientPruner(optuna.pruners.MedianPruner(), patience=3),
}
"""What makes each pruner for so many reports; Patient's patience has no default."""


class OptunaStudy(Method):
    """A study in memory.

    Args:
        bank: The bank.
        seed: Of the sampler, and of the random order.
        sampler: Of `SAMPLERS`.
        pruner: Of `PRUNERS`.
    """

    def __init__(self, bank: Bank, seed: int, sampler: str, pruner: str) -> None:
        make, startup = SAMPLERS[sampler]
        self._bank, self._left = bank, len(bank)
        recorded = RecordedSampler(make(seed), Candidates(bank, seed), startup)
        self._study = optuna.create_study(sampler=recorded, pruner=PRUNERS[pruner](bank.reports))
        self._trials: dict[int, optuna.Trial] = {}
        self._stopped: set[int] = set()

    def next(self) -> int | None:
        """What the study asks for."""
        if not self._left:
            return None
        self._left -= 1
        trial = self._study.ask()
        params: dict[str, Any] = self._bank.space.suggest(trial)
        index = self._bank.index(params)
        self._trials[index] = trial
        return index

    def report(self, configuration: int, step: int, value: float) -> bool:
        """Report, and ask whether to prune. What diverged fails."""
        trial = self._trials[configuration]
        if value == float("inf"):
            self._study.tell(trial, state=TrialState.FAIL)
            return False
        trial.report(value, step)
        if step == self._bank.reports:
            self._study.tell(trial, value)
            return False
        if trial.should_prune():
            self._study.tell(trial, state=TrialState.PRUNED)
            self._stopped.add(configuration)
            return False
        return True

    @property
    def stopped(self) -> frozenset[int]:
        """What was pruned."""
        return frozenset(self._stopped)
