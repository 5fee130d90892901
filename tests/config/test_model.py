from typing import Annotated, Any

import pytest

from rebnn_search.base.registry import Registry
from rebnn_search.config import Choose, Component, Strict, UserError, parse, validate

SHAPES: Registry[object] = Registry("shape")


@SHAPES.register("disc")
class Disc:
    def __init__(self, radius: float = 1.0, *, seed: int = 0) -> None:
        if radius < 0:
            raise ValueError(f"radius must be >= 0, not {radius}")
        self.radius, self.seed = radius, seed


@SHAPES.register("dot")
class Dot:
    pass


class Inner(Strict):
    rate: float = 0.5


class Outer(Strict):
    shape: Annotated[Component[Any], Choose(SHAPES, "shape", context=("seed",), construct=True)]
    inner: Inner = Inner()
    count: int = 1


def made(text: str) -> Outer:
    return validate(Outer, parse(text, "f.yaml"))


def test_a_part_is_chosen_by_name_with_its_options() -> None:
    shape: Component[Disc] = made("shape: {name: disc, radius: 2}").shape
    disc = shape.build(seed=3)
    assert (disc.radius, disc.seed) == (2.0, 3)
    assert shape["radius"] == 2.0
    assert made("shape: disc").shape["radius"] == 1.0
    assert isinstance(made("shape: dot").shape.build(), Dot)


def test_dump_round_trips() -> None:
    outer = made("shape: {name: disc, radius: 2}\ninner: {rate: 0.25}")
    assert Outer.model_validate(outer.model_dump()) == outer


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("shape: dot\ncuont: 2", "f.yaml:2: cuont = 2: unknown key; did you mean 'count'?"),
        ("shape: dot\ninner:\n  rat: 1", "f.yaml:3: inner.rat = 1: unknown key; did you mean 'rate'?"),
        ("shape: dot\ncount: '2'", "f.yaml:2: count = '2'"),
        ("shape: dot\ncount: true", "f.yaml:2: count = True"),
        ("count: 2", "shape: required key is missing"),
        ("shape: dics", "shape.name = 'dics': no such shape; did you mean 'disc'? valid are disc, dot"),
        ("shape: {radius: 1}", "needs the key 'name': one of disc, dot"),
        ("shape:\n  name: disc\n  radus: 1", "f.yaml:3: shape.radus = 1: unknown key; did you mean 'radius'?"),
        ("shape:\n  name: disc\n  radius: big", "f.yaml:3: shape.radius = 'big'"),
        ("shape:\n  name: disc\n  seed: 1", "f.yaml:3: shape.seed = 1: unknown key"),
        ("shape:\n  name: disc\n  radius: -1", "radius must be >= 0, not -1.0"),
        ("shape: 3", "expected the name of a shape"),
    ],
)
def test_mistakes_name_place_value_and_what_is_allowed(text: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        made(text)
    assert message in str(error.value)


def test_several_mistakes_are_told_at_once() -> None:
    with pytest.raises(UserError) as error:
        made("shape: nothing\ncount: x")
    assert len(str(error.value).splitlines()) == 2


def test_registry_refuses_a_second_class_of_a_name() -> None:
    with pytest.raises(ValueError, match="already registered"):
        SHAPES.register("dot")(Disc)


def test_registry_lists_what_is_valid() -> None:
    with pytest.raises(ValueError, match=r"unknown shape 'disk': valid are disc, dot; did you mean 'disc'\?"):
        SHAPES.get_class("disk")
