"""Every part is where its kind's parts are, and in the documents."""

import pkgutil
import runpy
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import rebnn_search
from rebnn_search.base.discovery import part_names
from rebnn_search.base.registry import Registry
from rebnn_search.export import FORMATS
from rebnn_search.study.objectives import OBJECTIVES
from rebnn_search.study.pruners import PRUNERS
from rebnn_search.study.samplers import SAMPLERS

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "docs" / "make_parts.py"))


def test_the_page_of_parts_is_what_the_parts_say(made: dict[str, Any]) -> None:
    assert made["PAGE"].read_text(encoding="utf-8") == made["page"](), "run: python docs/make_parts.py"


def test_the_page_has_every_kind(made: dict[str, Any]) -> None:
    found = [
        value
        for name, module in list(sys.modules.items())
        if name.startswith("rebnn_search.")
        for value in vars(module).values()
        if isinstance(value, Registry)
    ]
    shown = [id(registry) for _, registry, _ in made["KINDS"]]
    assert {registry.kind for registry in found if id(registry) not in shown} == set()


def test_every_part_says_what_it_is(made: dict[str, Any]) -> None:
    for _, registry, _ in made["KINDS"]:
        for name, cls in made["parts"](registry).items():
            said = cls.__doc__
            assert said and said != getattr(cls.__base__, "__doc__", None), name


@pytest.mark.parametrize(
    ("package", "registry"),
    [("export.formats", FORMATS), ("study.samplers", SAMPLERS), ("study.pruners", PRUNERS), ("study.objectives", OBJECTIVES)],
    ids=["formats", "samplers", "pruners", "objectives"],
)
def test_a_part_lies_in_the_file_of_its_name(package: str, registry: Registry[Any]) -> None:
    folder = import_module(f"rebnn_search.{package}")
    ours = {
        name.replace("/", "_"): cls.__module__ for name, cls in registry.items() if cls.__module__.startswith("rebnn_search.")
    }
    assert ours == {name: f"{folder.__name__}._{name}" for name in part_names(Path(folder.__path__[0]))}


def test_the_map_has_every_room() -> None:
    rooms = {info.name for info in pkgutil.iter_modules(rebnn_search.__path__) if info.ispkg}
    rooms |= {f"execution/{info.name}" for info in pkgutil.iter_modules([str(ROOT / "rebnn_search/execution")]) if info.ispkg}
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## The house")[2].partition("\n## ")[0]
    assert {room for room in rooms if f"| `{room}/` |" not in text} == set()
