"""What a sampler keeps to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import optuna
from optuna.samplers import BaseSampler

from rebnn_search.study.space import Parameter, Space, Value, build_space

Make = Callable[..., BaseSampler]
"""Makes a sampler from its ``seed``."""

SPACE: dict[str, dict[str, Any]] = {
    "gamma.strategy": {"choice": ["flip_ratio", "constant"]},
    "gamma.value": {"choice": [0.0, 1e-4], "when": {"gamma.strategy": "constant"}},
    "optimizer.lr": {"uniform": [0.001, 0.1], "step": 0.001},
}
"""Finite, for samplers that try every point."""


def _space() -> Space:
    return build_space({name: Parameter.model_validate(parameter) for name, parameter in SPACE.items()})


def _proposals(make: Make, seed: int, count: int = 6, objectives: int = 1) -> list[dict[str, Value]]:
    """What a search asks: a sampler made anew for each trial, over a study that knows the trials before."""
    space = _space()
    study, found = optuna.create_study(study_name="check", directions=["minimize"] * objectives), []
    for number in range(count):
        study.sampler = make(seed=seed + number)
        trial = study.ask()
        params = space.suggest(trial)
        lr = trial.params["optimizer.lr"]
        study.tell(trial, [lr, *[1 - lr] * (objectives - 1)])
        found.append(params)
    return found


def stays_in_the_space(make: Make) -> None:
    """Every proposal is one that the space has, a conditional parameter where its condition holds and only there."""
    space = _space()
    for params in _proposals(make, 0):
        assert ("gamma.value" in params) == (params["gamma.strategy"] == "constant"), params
        for name, value in params.items():
            assert space.parameters[name].contains(value), f"{name} = {value!r}"


def is_a_function_of_study_and_seed(make: Make) -> None:
    """A sampler keeps nothing between trials, so that a resumed search proposes what an uninterrupted one would."""
    assert _proposals(make, 3) == _proposals(make, 3), "two searches with one seed differ"


def takes_several_objectives_if_it_says_so(make: Make) -> None:
    """With the trait ``multi_objective``, its proposals for a study of two are a function of study and seed too."""
    if getattr(type(make(seed=0)), "multi_objective", False):
        count = 14  # more than a sampler draws at random at first
        assert _proposals(make, 5, count, 2) == _proposals(make, 5, count, 2), "two searches with one seed differ"


SAMPLER_CHECKS = (stays_in_the_space, is_a_function_of_study_and_seed, takes_several_objectives_if_it_says_so)
"""For anything that makes a sampler from its ``seed``: its class, where its options have defaults."""
