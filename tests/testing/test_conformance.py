"""Every part of the project keeps to what its kind asks; a new one is taken up here by being registered."""

from collections.abc import Callable
from typing import Any

import pytest

from rebnn_search import testing
from rebnn_search.method import GAMMA, NETWORKS, SCALE_INIT, WEIGHTS, GammaStrategy
from rebnn_search.method.gamma import MaxGradient
from rebnn_search.study.objectives import OBJECTIVES
from rebnn_search.study.pausing import PauseRule
from rebnn_search.study.pruners import PRUNERS
from rebnn_search.study.samplers import SAMPLERS
from rebnn_search.testing.gamma import leaves_its_inputs_alone, remembers_channels_apart
from rebnn_search.training.data import AUGMENTATIONS

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

OPTIONS: dict[str, dict[str, Any]] = {
    "patient": {"patience": 2},
    "promotion": {"startup_trials": 6, "every": 5},
    "percentile": {"percentile": 50.0},
    "threshold": {"upper": 3.0},
    "latency": {"repeats": 3},
}
"""Of parts that have one without a default."""


def each(checks: tuple[Callable[..., None], ...], parts: Any) -> Any:
    pairs = [pytest.param(check, name, id=f"{name}-{check.__name__}") for name in sorted(parts) for check in checks]
    return pytest.mark.parametrize(("check", "name"), pairs)


@each(testing.GAMMA_CHECKS, GAMMA)
def test_gamma(check: Callable[..., None], name: str) -> None:
    check(GAMMA[name])


@each(testing.SCALE_INIT_CHECKS, SCALE_INIT)
def test_scale_init(check: Callable[..., None], name: str) -> None:
    check(SCALE_INIT[name])


@each(testing.WEIGHTS_CHECKS, WEIGHTS)
def test_weights(check: Callable[..., None], name: str) -> None:
    check(name)


@each(testing.NETWORK_CHECKS, NETWORKS)
def test_network(check: Callable[..., None], name: str) -> None:
    check(NETWORKS[name])


@each(testing.AUGMENTATION_CHECKS, AUGMENTATIONS)
def test_augmentation(check: Callable[..., None], name: str) -> None:
    check(AUGMENTATIONS[name])


@each(testing.SAMPLER_CHECKS, SAMPLERS)
def test_sampler(check: Callable[..., None], name: str) -> None:
    check(lambda seed: SAMPLERS[name](seed=seed))


@each(testing.OBJECTIVE_CHECKS, OBJECTIVES)
def test_objective(check: Callable[..., None], name: str) -> None:
    check(lambda: OBJECTIVES[name](**OPTIONS.get(name, {})))


RULES = {name: cls for name, cls in PRUNERS.items() if issubclass(cls, PauseRule)}


@each(testing.PRUNER_CHECKS, {name: cls for name, cls in PRUNERS.items() if name not in RULES})
def test_pruner(check: Callable[..., None], name: str) -> None:
    check(lambda: PRUNERS[name](**OPTIONS.get(name, {})))


@each(testing.PAUSE_RULE_CHECKS, RULES)
def test_pruner_that_pauses(check: Callable[..., None], name: str) -> None:
    check(lambda: PRUNERS[name](**OPTIONS.get(name, {})))


class Drops(GammaStrategy):
    """A γ-strategy that forgets a channel, changes its inputs and gives a negative γ."""

    def initial(self, channels: Any) -> Any:
        return channels[:-1]

    def update(self, flip_fraction: Any, max_grad: Any, iteration: int, memory: Any = None) -> Any:
        return flip_fraction.mul_(-1)


def test_a_part_that_falls_short_is_told() -> None:
    for check in testing.GAMMA_CHECKS[:2]:
        with pytest.raises(AssertionError):
            check(Drops)


class Halves(MaxGradient):
    """A γ-strategy that is sound but for what it does to its inputs."""

    def update(self, flip_fraction: Any, max_grad: Any, iteration: int, memory: Any = None) -> Any:
        return max_grad.div_(2).clone()


def test_a_part_that_changes_its_inputs_is_told_and_spoils_nothing_for_the_next() -> None:
    for check in (leaves_its_inputs_alone, remembers_channels_apart):
        with pytest.raises(AssertionError, match="the inputs were changed"):
            check(Halves)
    for check in testing.GAMMA_CHECKS:
        check(MaxGradient)
