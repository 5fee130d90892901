"""Every sampler that a file may name can be named, and samples."""

from importlib.util import find_spec

import optuna
import pytest

from rebnn_search.study.pruners import PRUNERS
from rebnn_search.study.samplers import SAMPLERS, sampler_factory
from rebnn_search.study.space import Space
from rebnn_search.study.spec import SearchSpec

SPACE = {"a": {"uniform": [0.0, 1.0], "step": 0.25}, "b": {"choice": ["x", "y"]}}


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_a_sampler_is_made_from_its_name_and_samples(name: str) -> None:
    given = {"recipe": "", "space": SPACE, "trials": 4, "sampler": name}
    if name == "cma_es" and find_spec("cmaes") is None:
        with pytest.raises(ValueError, match="needs the package cmaes"):
            SearchSpec.model_validate(given)
        return
    spec = SearchSpec.model_validate(given)
    make = sampler_factory(spec.sampler, 0)
    study = optuna.create_study()
    for number in range(12 if name == "gp" else 4):  # gp's first ten are random
        study.sampler = make(number)
        trial = study.ask()
        values = Space(spec.space).suggest(trial)
        assert values["a"] in (0.0, 0.25, 0.5, 0.75, 1.0)
        study.tell(trial, float(values["a"]))


def test_every_point_of_an_endless_space_is_refused() -> None:
    with pytest.raises(ValueError, match="a has no step"):
        SearchSpec.model_validate(
            {"recipe": "", "space": {"a": {"uniform": [0.0, 1.0]}}, "trials": 1, "sampler": "brute_force"}
        )


def test_hyperband_s_brackets_are_the_same_under_every_name() -> None:
    """A search run again, as s-2, prunes as s-1 did."""

    def brackets(name: str) -> list[int]:
        pruner = PRUNERS["hyperband"](max_resource=27)  # type: ignore[call-arg]
        study = optuna.create_study(study_name=name, pruner=pruner)
        found = []
        for _ in range(12):
            trial = study.ask()
            trial.report(1.0, 1)
            trial.should_prune()
            found.append(pruner._get_bracket_id(study, study.trials[-1]))  # type: ignore[attr-defined]
        return found

    assert brackets("s-1") == brackets("s-2") and len(set(brackets("s-1"))) > 1
