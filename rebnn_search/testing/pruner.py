"""What a pruner keeps to."""

from __future__ import annotations

from collections.abc import Callable

import optuna
from optuna.pruners import BasePruner

Make = Callable[[], BasePruner]

CURVES = ([0.9, 0.5, 0.3, 0.2], [0.8, 0.6, 0.4, 0.3], [1.5, 1.4, 1.4, 1.4], [0.7, 0.4, 0.2, 0.1], [2.0, 2.0, 2.0, 2.0])


def _verdicts(make: Make) -> list[list[bool]]:
    """What is said of each curve's reports, the pruner made anew before each trial, as after a resume."""
    study, found = optuna.create_study(study_name="check"), []
    for curve in CURVES:
        study.pruner = make()
        trial, said = study.ask(), []
        for step, value in enumerate(curve, start=1):
            trial.report(value, step)
            said.append(trial.should_prune())
            if said[-1]:
                break
        if said[-1]:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            study.tell(trial, curve[-1])
        found.append(said)
    return found


def is_a_function_of_the_study(make: Make) -> None:
    """A pruner keeps nothing between trials, so that a resumed search prunes what an uninterrupted one would."""
    assert _verdicts(make) == _verdicts(make), "the same reports, other verdicts"


def spares_the_first_trial(make: Make) -> None:
    """There must be something to compare with, or a search could end with nothing trained to its end."""
    assert not any(_verdicts(make)[0]), "pruned the first trial of a study"


def bears_a_trial_without_reports(make: Make) -> None:
    """Says no."""
    study = optuna.create_study(pruner=make())
    assert study.ask().should_prune() is False


PRUNER_CHECKS = (is_a_function_of_the_study, spares_the_first_trial, bears_a_trial_without_reports)
"""For anything that makes a pruner: its class, where its options have defaults."""
