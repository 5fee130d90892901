"""Quasi-random search."""

from __future__ import annotations

import optuna
from optuna.trial import FrozenTrial

from rebnn_search.study.samplers.base import SAMPLERS, mixed


@SAMPLERS.register("qmc")
class QMC(optuna.samplers.QMCSampler):
    """A sequence that fills the space more evenly than random numbers.

    Args:
        qmc_type: ``sobol`` or ``halton``.
        scramble: Whether the sequence is scrambled.
        warn_asynchronous_seeding: As of Optuna's.
        warn_independent_sampling: Warn where a parameter is drawn at random: one with a condition.
    """

    one_sequence = True
    complete_history = True
    multi_objective = True

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Draw what has a condition, and lies in no sequence, by a seed of the trial's own: all trials have the sequence's."""
        self._independent_sampler = optuna.samplers.RandomSampler(seed=mixed(self._seed, trial.number))
        super().before_trial(study, trial)
