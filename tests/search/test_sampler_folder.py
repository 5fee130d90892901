"""Samplers and pruners are Optuna's, whatever they are registered as, and say themselves what a search must know of them."""

from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution

from rebnn_search.config import Component
from rebnn_search.study.pruners import PRUNERS, build_pruner
from rebnn_search.study.samplers import SAMPLERS, TRAITS, has_trait, mixed, sampler_factory

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

OPTUNA: dict[str, tuple[type[optuna.samplers.BaseSampler], dict[str, Any]]] = {
    "tpe": (optuna.samplers.TPESampler, {"multivariate": True, "group": True, "constant_liar": True}),
    "random": (optuna.samplers.RandomSampler, {}),
    "gp": (optuna.samplers.GPSampler, {}),
    "qmc": (optuna.samplers.QMCSampler, {}),
    "cma_es": (optuna.samplers.CmaEsSampler, {"warn_independent_sampling": False}),
    "brute_force": (optuna.samplers.BruteForceSampler, {}),
    "nsga_ii": (optuna.samplers.NSGAIISampler, {"population_size": 20}),
}
SPACE = {"a": FloatDistribution(0.0, 1.0, step=0.05), "b": FloatDistribution(0.0, 2.0, step=0.1)}


def proposals(make: Any, count: int = 13) -> list[dict[str, Any]]:
    study = optuna.create_study()
    for number in range(count):
        study.sampler = make(number)
        trial = study.ask(SPACE)
        study.tell(trial, trial.params["a"] + trial.params["b"])
    return [trial.params for trial in study.trials]


@pytest.mark.parametrize("name", sorted(OPTUNA))
def test_it_proposes_what_optuna_s_own_does(name: str) -> None:
    cls, options = OPTUNA[name]

    def own(number: int) -> optuna.samplers.BaseSampler:
        if name == "qmc":  # one sequence; what lies in none by a seed of each trial's own
            return cls(seed=5, independent_sampler=optuna.samplers.RandomSampler(seed=mixed(5, number)))  # type: ignore[call-arg]
        return cls(seed=mixed(5, number), **options)  # type: ignore[call-arg]

    assert proposals(sampler_factory(Component("name", name, {}, SAMPLERS[name]), 5)) == proposals(own)


def test_every_one_is_compared() -> None:
    assert {name for name, cls in SAMPLERS.items() if cls.__module__.startswith("rebnn_search.")} == set(OPTUNA)


def test_what_a_search_knows_of_a_sampler_is_on_its_class() -> None:
    found = {
        trait: {name for name in OPTUNA if has_trait(Component("name", name, {}, SAMPLERS[name]), trait)} for trait in TRAITS
    }
    assert found == {
        "one_sequence": {"qmc"},
        "whole_trainings": {"cma_es", "gp", "nsga_ii"},
        "complete_history": {"qmc", "brute_force", "random", "nsga_ii"},
        "exhaustive": {"brute_force"},
        "repeats": set(),
        "multi_objective": set(OPTUNA) - {"cma_es"},
    }

    class Mine(optuna.samplers.QMCSampler):
        one_sequence = True

    mine = Component("name", "mine", {}, Mine)
    assert has_trait(mine, "one_sequence") and not has_trait(mine, "exhaustive")
    same = [sampler_factory(mine, 5)(number)._seed for number in (0, 1)]
    assert same == [5, 5]


@pytest.mark.parametrize(
    ("name", "cls"),
    [
        ("median", optuna.pruners.MedianPruner),
        ("percentile", optuna.pruners.PercentilePruner),
        ("successive_halving", optuna.pruners.SuccessiveHalvingPruner),
        ("hyperband", optuna.pruners.HyperbandPruner),
        ("threshold", optuna.pruners.ThresholdPruner),
        ("wilcoxon", optuna.pruners.WilcoxonPruner),
        ("none", optuna.pruners.NopPruner),
        ("patient", optuna.pruners.PatientPruner),
    ],
)
def test_a_pruner_decides_as_optuna_s_own(name: str, cls: type[optuna.pruners.BasePruner]) -> None:
    options = {"percentile": {"percentile": 50.0}, "threshold": {"upper": 3.0}, "patient": {"patience": 2}}.get(name, {})
    built, _ = build_pruner(Component("name", name, options, PRUNERS[name]))
    assert isinstance(built, cls)
    assert type(built).prune is cls.prune
