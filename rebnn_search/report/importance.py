"""How important each hyperparameter was, and how sure that is: fANOVA over resampled configurations."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

from rebnn_search.report.configurations import Configuration, configurations
from rebnn_search.report.statistics import TAIL, Array
from rebnn_search.report.study import distribution
from rebnn_search.report.tracked import TrackedSearch
from rebnn_search.study.optuna_log import optuna_muted
from rebnn_search.study.table import HEADINGS

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

RESAMPLES, TREES = 40, 3
MOST = 100
"""Configurations in a resample: with more it takes longer and tells little more."""
LEAST, LEAST_TOLD = 4, 8
"""With fewer configurations nothing is computed, and nothing told."""
STABLE = 0.9
"""Share of the resamples in which a parameter must be the most important to be called so."""
FOREST = 200
"""Trees of the forest that predicts configurations it has not seen."""
SEED = 0


@dataclass(frozen=True)
class Importance:
    """Of one hyperparameter.

    Attributes:
        name: Its dotted name.
        share: Of the objective's variance that it explains, mean over the resamples, all shares together 1.
        low, high: The central 95 % over the resamples.
        first: Share of the resamples in which it has the largest.
    """

    name: str
    share: float
    low: float
    high: float
    first: float


@dataclass(frozen=True)
class Importances:
    """Of all hyperparameters that every trial has.

    Attributes:
        parameters: The most important first; empty where there are too few configurations.
        configurations: So many were trained to their end.
        predicted: Share of the objective's variance that a forest predicts of configurations it was not fitted to; 0 or
            less: nothing.
        left_out: Hyperparameters that only some trials have.
        only: The one that all have, where there is no other.
    """

    parameters: list[Importance]
    configurations: int
    predicted: float | None
    left_out: list[str]
    only: str | None = None

    @property
    def untold(self) -> str | None:
        """Why nothing can be told, in a sentence; None where something can."""
        if self.configurations < LEAST_TOLD:
            there = self.configurations or "none"
            return f"Too few trials to tell: it takes {LEAST_TOLD} configurations trained to their end, and the search has {there}."
        if self.only is not None:
            return f"{HEADINGS.get(self.only, self.only)} is the only one that every trial has: there is nothing to share out."
        if not self.parameters:
            return "Nothing that shows: all configurations came to the same."
        if self.predicted is not None and self.predicted <= 0:
            return (
                f"Too few trials to tell: a forest fitted to the {self.configurations} configurations predicts others no better than "
                "their mean does."
            )
        first = self.parameters[0]
        if first.first < STABLE:
            return (
                "Too few trials to tell: which parameter comes first changes from resample to resample of the "
                f"{self.configurations} configurations (most often {HEADINGS.get(first.name, first.name)}, in "
                f"{100 * first.first:.0f} %)."
            )
        return None


_KNOWN: WeakKeyDictionary[TrackedSearch, Importances] = WeakKeyDictionary()


def importances(search: TrackedSearch) -> Importances:
    """The importances of a search, computed once: answer and picture are made of the same."""
    if search not in _KNOWN:
        _KNOWN[search] = _importances(search)
    return _KNOWN[search]


def common_parameters(search: TrackedSearch) -> list[str]:
    """The hyperparameters that every trial has."""
    return [name for name, parameter in search.search.space.parameters.items() if not parameter.when]


def _importances(search: TrackedSearch) -> Importances:
    names = common_parameters(search)
    found = [one for one in configurations(search) if one.trials[0].params.keys() >= set(names)]
    left_out = [name for name in search.search.space.parameters if name not in names]
    spread = {one.mean for one in found}
    if len(found) < LEAST or len(spread) < 2 or len(names) < 2:
        return Importances([], len(found), None, left_out, names[0] if len(names) == 1 else None)
    distributions = {name: distribution(search.search.space.parameters[name]) for name in names}
    shares = _resampled(search, found, distributions)
    if not len(shares):
        return Importances([], len(found), None, left_out)
    lows, highs = np.quantile(shares, [TAIL, 1 - TAIL], axis=0)
    first = np.bincount(shares.argmax(1), minlength=len(names)) / len(shares)
    means = shares.mean(0)
    parameters = [
        Importance(name, float(means[k]), float(lows[k]), float(highs[k]), float(first[k])) for k, name in enumerate(names)
    ]
    parameters.sort(key=lambda one: (-one.share, one.name))
    return Importances(parameters, len(found), _predicted(found, distributions), left_out)


def _resampled(search: TrackedSearch, found: list[Configuration], distributions: dict[str, BaseDistribution]) -> Array:
    """The shares (resamples, parameters)."""
    import optuna
    from optuna.importance import FanovaImportanceEvaluator

    names = list(distributions)
    trials = [_frozen(one, distributions) for one in found]
    generator = np.random.default_rng(SEED)
    size = min(len(trials), MOST)
    rows = []
    with optuna_muted():
        for seed in range(RESAMPLES):
            study = optuna.create_study(direction=search.search.spec.objective.direction)
            study.add_trials([trials[index] for index in generator.integers(len(trials), size=size)])
            try:
                shares = FanovaImportanceEvaluator(n_trees=TREES, seed=seed).evaluate(study, params=names)
            except RuntimeError:  # all of this resample are alike
                continue
            total = sum(shares.values())
            if total > 0:
                rows.append([shares[name] / total for name in names])
    return np.array(rows).reshape(-1, len(names))


def _frozen(one: Configuration, distributions: dict[str, BaseDistribution]) -> FrozenTrial:
    from optuna.trial import create_trial

    params = one.trials[0].params
    return create_trial(params={name: params[name] for name in distributions}, distributions=distributions, value=one.mean)


def _predicted(found: list[Configuration], distributions: dict[str, BaseDistribution]) -> float:
    """R² of a forest on the configurations that each of its trees was not fitted to."""
    from optuna.distributions import CategoricalDistribution
    from sklearn.ensemble import RandomForestRegressor

    columns: list[list[float]] = []
    for name, one in distributions.items():
        values = [configuration.trials[0].params[name] for configuration in found]
        if isinstance(one, CategoricalDistribution):
            columns += [[float(value == choice) for value in values] for choice in one.choices]
        else:
            columns.append([float(str(value)) for value in values])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where a configuration is in every tree
        forest = RandomForestRegressor(FOREST, oob_score=True, random_state=SEED, max_features=1.0)
        forest.fit(np.array(columns).T, np.array([configuration.mean for configuration in found]))
    return float(forest.oob_score_)
