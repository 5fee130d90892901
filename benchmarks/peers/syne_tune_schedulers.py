"""Syne Tune's schedulers on recorded curves, in this process: pass ``--syne-tune DIR``, the ``site-packages`` of an environment that
has it (``python -m venv ENV && ENV/bin/pip install syne-tune==0.16.0 huggingface_hub``).

Its own simulator looks configurations up in a table and fails for those that are not in it, so each proposal becomes the nearest
recorded configuration that is left, as with every other sampler here, and the scheduler is told of that one. MOBSTER and Hyper-Tune
are not in 0.16.0 any more.
"""

from __future__ import annotations

import datetime
import logging
import random
import sys
from typing import Any

import numpy as np
from banks import Bank
from peers.loop import Method
from recorded_sampler import Candidates
from traces import permutation

from rebnn_search.study.space import Parameter

METRIC, TIME = "loss", "report"
STARTUP = 10
MODELS = {"random": "ASHA", "kde": "BOHB", "cqr": "ASHACQR", "bore": "ASHABORE"}
"""Syne Tune's ASHA, which stops, by what proposes its configurations, and the name there."""


def add_to_path(site_packages: str) -> None:
    """Let this process import Syne Tune, after all that it has."""
    sys.path.append(site_packages)
    logging.disable(logging.WARNING)


class SyneTune(Method):
    """A scheduler of Syne Tune's, at its defaults.

    Args:
        bank: The bank.
        seed: Of the scheduler, and of the random order.
        name: Of `MODELS`' values.
    """

    def __init__(self, bank: Bank, seed: int, name: str) -> None:
        from syne_tune.optimizer import baselines

        self._bank, self._candidates = bank, Candidates(bank, seed)
        self._random = name == "ASHA"
        np.random.seed(seed)  # its random configurations are drawn from these two
        random.seed(seed)
        self._filling = {name: _middle(parameter) for name, parameter in bank.space.parameters.items()}
        first = [{**self._filling, **bank.configurations[index]} for index in permutation(bank, seed)[:STARTUP]]
        self._scheduler = getattr(baselines, name)(
            config_space={name: _domain(parameter) for name, parameter in bank.space.parameters.items()},
            metric=METRIC, time_attr=TIME, max_t=bank.reports, random_seed=seed, points_to_evaluate=first,
        )  # fmt: skip
        self._trials: dict[int, Any] = {}
        self._stopped: set[int] = set()

    def next(self) -> int | None:
        """What the scheduler suggests, or the nearest to it."""
        from syne_tune.backend.trial_status import Trial

        if len(self._trials) == len(self._bank):
            return None
        suggestion = self._scheduler.suggest()
        if suggestion is None:
            return None
        if self._random or len(self._trials) < STARTUP:
            index = self._candidates.following()
        else:
            index = self._candidates.nearest(self._active(suggestion.config))
        config = {**suggestion.config, **self._bank.configurations[index]}
        trial = Trial(trial_id=len(self._trials), config=config, creation_time=datetime.datetime.now())
        self._scheduler.on_trial_add(trial)
        self._trials[index] = trial
        return index

    def _active(self, config: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name in self._bank.space:  # it knows no conditions
            if self._bank.space.is_active(name, found):
                found[name] = config[name]
        return found

    def report(self, configuration: int, step: int, value: float) -> bool:
        """Tell it, and do what it decides. What diverged is an error."""
        trial = self._trials[configuration]
        if value == float("inf"):
            self._scheduler.on_trial_error(trial)
            return False
        result = {METRIC: value, TIME: step}
        if step == self._bank.reports:
            self._scheduler.on_trial_complete(trial, result)
            return False
        if self._scheduler.on_trial_result(trial, result) == "CONTINUE":
            return True
        self._stopped.add(configuration)
        return False

    @property
    def stopped(self) -> frozenset[int]:
        """What it stopped."""
        return frozenset(self._stopped)


def _middle(parameter: Parameter) -> Any:
    ends = parameter.examples()
    if parameter.kind == "choice":
        return ends[0]
    low, high = float(ends[0]), float(ends[1])  # type: ignore[arg-type]
    return float(np.sqrt(low * high)) if parameter.kind.startswith("log") else (low + high) / 2


def _domain(parameter: Parameter) -> Any:
    from syne_tune import config_space

    ends: list[Any] = parameter.examples()
    if parameter.kind == "choice":
        return config_space.choice(ends)
    makers = {
        "uniform": config_space.uniform, "log_uniform": config_space.loguniform, "int": config_space.randint,
        "log_int": config_space.lograndint,
    }  # fmt: skip
    return makers[parameter.kind](*ends)
