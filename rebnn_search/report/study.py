"""The Optuna study of a search, made again from its tracked runs, for Optuna's own plots."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from rebnn_search.report.figures.base import plain
from rebnn_search.report.tracked import TrackedSearch, TrackedTrial
from rebnn_search.study.optuna_log import optuna_muted
from rebnn_search.study.space import Parameter


def study_of(search: TrackedSearch) -> optuna.Study:
    """A study in memory with every trial that ended: parameters, values of the first objective, curves, times, constraints."""
    with optuna_muted():
        study = optuna.create_study(study_name=search.name, direction=search.search.spec.objective.direction)
        study.add_trials([_frozen(search, trial) for trial in search.trials if trial.state in ("COMPLETE", "PRUNED", "FAIL")])
    return study


def _frozen(search: TrackedSearch, trial: TrackedTrial) -> FrozenTrial:
    curve = dict(search.series(trial, search.objective))
    values = search.values(trial)
    limits = [limit for limit in search.search.limits if trial.state == "COMPLETE" and limit.name in values]
    return FrozenTrial(
        number=trial.number,
        trial_id=trial.number,
        state=TrialState[trial.state],
        value=search.value(trial) if trial.state in ("COMPLETE", "PRUNED") else None,
        datetime_start=datetime.fromtimestamp(trial.start / 1000),
        datetime_complete=datetime.fromtimestamp((trial.end or trial.start) / 1000),
        params={name: _text(value) for name, value in trial.params.items()},
        distributions={name: _printed(distribution(search.search.space.parameters[name])) for name in trial.params},
        user_attrs={},
        system_attrs={f"constraints:{limit.name}": limit.excess(values[limit.name]) for limit in limits},
        intermediate_values=curve,
    )


def distribution(parameter: Parameter) -> BaseDistribution:
    """Optuna's distribution of a parameter."""
    if parameter.kind == "choice":
        return CategoricalDistribution(parameter.choice or [])
    bounds: list[Any] = parameter.examples()
    if parameter.kind in ("int", "log_int"):
        return IntDistribution(bounds[0], bounds[1], log=parameter.kind == "log_int", step=int(parameter.step or 1))
    return FloatDistribution(bounds[0], bounds[1], log=parameter.kind == "log_uniform", step=parameter.step)


def _printed(found: BaseDistribution) -> BaseDistribution:
    return CategoricalDistribution(list(map(_text, found.choices))) if isinstance(found, CategoricalDistribution) else found


def _text(value: Any) -> Any:
    """A value as a plot may print it."""
    return plain(value) if isinstance(value, str) else value
