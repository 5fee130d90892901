import math
import tracemalloc
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from rebnn_search.study.space import Parameter, Space, build_space

RANGES = [
    {"uniform": [0.0, 1.0]},
    {"uniform": [0.0, 1.0], "step": 0.25},
    {"log_uniform": [1e-5, 1e-1]},
    {"int": [8, 32]},
    {"int": [8, 32], "step": 8},
    {"log_int": [1, 64]},
    {"choice": [1, True, "x", None, 0.5]},
]


def parameter(data: dict[str, object]) -> Parameter:
    return Parameter.model_validate(data)


@pytest.mark.parametrize("data", RANGES, ids=str)
def test_what_a_parameter_suggests_it_contains(data: dict[str, object]) -> None:
    p = parameter(data)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(30):
        value = p.suggest(study.ask(), "p")
        assert p.contains(value)
        assert type(p.canonical(value)) is type(value)
    assert all(p.contains(example) for example in p.examples())


@given(st.floats(1e-5, 1e-1))
def test_log_range_contains_its_inside(value: float) -> None:
    assert parameter({"log_uniform": [1e-5, 1e-1]}).contains(value)


@pytest.mark.parametrize(
    ("data", "value"),
    [
        ({"uniform": [0.0, 1.0]}, 1.5),
        ({"uniform": [0.0, 1.0]}, True),
        ({"uniform": [0.0, 1.0]}, "0.5"),
        ({"uniform": [0.0, 1.0], "step": 0.25}, 0.3),
        ({"int": [1, 4]}, 2.5),
        ({"choice": [1, 2]}, True),
        ({"choice": ["a"]}, "b"),
    ],
)
def test_what_a_parameter_does_not_contain(data: dict[str, object], value: object) -> None:
    assert not parameter(data).contains(value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "needs exactly one of"),
        ({"uniform": [0.0, 1.0], "int": [1, 2]}, "needs exactly one of"),
        ({"uniform": [1.0]}, r"must be \[low, high\]"),
        ({"uniform": [1.0, 1.0]}, "low must be below high"),
        ({"int": [3, 2]}, "low must be below high"),
        ({"log_uniform": [0.0, 1.0]}, "a log range must stay above 0"),
        ({"log_int": [0, 4]}, "a log range must stay above 0"),
        ({"uniform": [0.0, math.inf]}, "must be finite"),
        ({"choice": []}, "no values"),
        ({"choice": [1, 1]}, "stands twice"),
        ({"choice": [[1]]}, "a choice must be"),
        ({"uniform": [0.0, 1.0], "step": 2.0}, "must be above 0 and at most"),
        ({"int": [0, 4], "step": 0.5}, "whole for int"),
        ({"log_uniform": [0.1, 1.0], "step": 0.1}, "goes with uniform or int only"),
        ({"int": [1.5, 2]}, "integer"),
        ({"unifrom": [0.0, 1.0]}, "did you mean 'uniform'"),
    ],
)
def test_bad_parameters(data: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        parameter(data)


def space(**parameters: dict[str, object]) -> Space:
    return build_space({name: parameter(data) for name, data in parameters.items()})


def test_parents_come_before_those_that_depend_on_them() -> None:
    s = space(c={"int": [1, 2], "when": {"b": 1}}, b={"choice": [1, 2], "when": {"a": "x"}}, a={"choice": ["x", "y"]})
    assert list(s) == ["a", "b", "c"]


def test_a_parameter_is_asked_for_only_where_its_condition_holds() -> None:
    s = space(kind={"choice": ["a", "b", "c"]}, value={"uniform": [0.0, 1.0], "when": {"kind": ["a", "b"]}})
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    seen = [s.suggest(study.ask()) for _ in range(40)]
    assert {v["kind"] for v in seen} == {"a", "b", "c"}
    assert all(("value" in v) == (v["kind"] != "c") for v in seen)


def test_a_step_is_the_number_that_its_decimals_come_to() -> None:
    tenths = parameter({"uniform": [0, 0.4], "step": 0.1})
    assert tenths.grid() == [0.0, 0.1, 0.2, 0.3, 0.4]
    whole = space(x={"uniform": [0, 0.4], "step": 0.1}, y={"choice": [1, 2], "when": {"x": 0.3}})
    assert whole.size() == 6
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = [whole.suggest(study.ask()) for _ in range(40)]
    assert {values["x"] for values in drawn} == {0.0, 0.1, 0.2, 0.3, 0.4}  # and no 0.30000000000000004
    assert all(("y" in values) == (values["x"] == 0.3) for values in drawn)


def test_example_forces_the_conditions_of_a_parameter() -> None:
    s = space(a={"choice": ["x", "y"]}, b={"choice": [1, 2], "when": {"a": "y"}}, c={"int": [1, 2], "when": {"b": 2}})
    assert s.example_with("c", 2) == {"a": "y", "b": 2, "c": 2}


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"a": {"int": [1, 2], "when": {"z": 1}}}, "is no parameter of this space"),
        ({"a": {"choice": ["x"]}, "b": {"int": [1, 2], "when": {"a": "y"}}}, "can never hold"),
        ({"a": {"uniform": [0.0, 1.0]}, "b": {"int": [1, 2], "when": {"a": 2.0}}}, "can never hold"),
        ({"a": {"choice": ["x"]}, "b": {"int": [1, 2], "when": {"a": []}}}, "can never hold"),
        ({"a": {"int": [1, 2], "when": {"b": 1}}, "b": {"int": [1, 2], "when": {"a": 1}}}, "circle"),
        (
            {
                "a": {"choice": ["x", "y"]},
                "b": {"choice": [1], "when": {"a": "x"}},
                "c": {"int": [1, 2], "when": {"a": "y", "b": 1}},
            },
            "can never hold",
        ),
    ],
)
def test_bad_conditions(parameters: dict[str, dict[str, object]], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        space(**parameters)


def test_the_size_of_a_space_counts_conditions() -> None:
    space = build_space(
        {
            "a": Parameter(choice=["x", "y"]),
            "b": Parameter(choice=[1, 2, 3], when={"a": "x"}),
            "c": Parameter.model_validate({"int": [1, 5], "step": 2}),
        }
    )
    assert space.size() == (3 + 1) * 3
    assert build_space({"a": Parameter(uniform=[0.0, 1.0])}).size() is None


def test_real_numbers_may_be_as_large_as_there_are_and_whole_ones_as_are_exact() -> None:
    assert Parameter(log_uniform=[1.0, 1e30]).contains(1e29)
    with pytest.raises(ValidationError, match="must be within"):
        Parameter.model_validate({"int": [1, 10**20]})


@pytest.mark.parametrize("last", [{"int": [1, 1000]}, {"uniform": [0.0, 1.0]}])
def test_a_space_too_large_to_be_tried_is_not_written_out(last: dict[str, object]) -> None:
    """Nor is one that goes past the bound at a single leap, or before a parameter that has no grid."""
    space = build_space({"a": parameter({"int": [0, 999_999]}), "b": parameter({"int": [8, 256]}), "c": parameter(last)})
    tracemalloc.start()
    size = space.size()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size is None if "uniform" in last else size is not None and size > 1_000_000
    assert peak < 2**30


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"choice": [float("nan"), 1e-3]}, "a number must be finite"),
        ({"choice": [1, 1.0, 2.0]}, "stands twice in the list"),
        ({"int": [1, 10**400]}, "the ends must be within"),
        ({"log_int": [1, 10**400]}, "the ends must be within"),
    ],
    ids=lambda bad: next(iter(bad)) if isinstance(bad, dict) else "",
)
def test_values_that_are_none_are_told(bad: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Parameter.model_validate(bad)
    assert Parameter(choice=[1, True, 0, False, None, "1"]).points() == 6


def test_a_large_space_is_counted_without_being_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def wide(**more: Any) -> Parameter:
        return Parameter.model_validate({"int": [1, 10**9], **more})

    monkeypatch.setattr(Parameter, "grid", lambda self: list(self.choice) if self.choice else pytest.fail("was written out"))
    kinds = Parameter(choice=["a", "b", "c"])
    space = build_space(
        {"kind": kinds, "x": wide(), "y": wide(when={"kind": ["a", "b"]}), "z": wide(step=2, when={"kind": "c"})}
    )
    assert space.size() == 10**9 * (2 * 10**9 + 10**9 // 2)


@pytest.mark.parametrize("seed", range(20))
def test_a_space_has_as_many_points_as_there_are_when_it_is_written_out(seed: int) -> None:
    random = np.random.default_rng(seed)
    parameters: dict[str, Parameter] = {}
    for index in range(int(random.integers(1, 6))):
        kind: dict[str, Any] = {"int": [0, 2]} if random.random() < 0.4 else {"choice": [*range(int(random.integers(1, 4)))]}
        when = {name: [v for v in (0, 1) if known.contains(v)] for name, known in parameters.items() if random.random() < 0.4}
        parameters[f"p{index}"] = parameter({**kind, "when": when})
    space = build_space(parameters)
    points: list[dict[str, Any]] = [{}]
    for name, one in space.parameters.items():
        points = [
            {**known, **({name: value} if value is not None else {})}
            for known in points
            for value in (one.grid() or [] if space.is_active(name, known) else [None])
        ]
    assert space.size() == len(points)
