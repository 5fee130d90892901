"""Write docs/parts.md: every part of every kind, from its class."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from rebnn_search.config import Component
from rebnn_search.export import FORMATS
from rebnn_search.method import GAMMA, NETWORKS, SCALE_INIT, WEIGHTS
from rebnn_search.method.networks import CONTEXT as NETWORK_CONTEXT
from rebnn_search.report.figures import FIGURES
from rebnn_search.study.objectives import OBJECTIVES
from rebnn_search.study.pruners import PRUNERS
from rebnn_search.study.samplers import CONTEXT as SAMPLER_CONTEXT
from rebnn_search.study.samplers import SAMPLERS
from rebnn_search.training.data import AUGMENTATIONS, DATASETS
from rebnn_search.training.optimizers import OPTIMIZERS
from rebnn_search.training.schedules import SCHEDULES
from rebnn_search.training.teachers import TEACHERS

PAGE = Path(__file__).with_name("parts.md")
HEAD = """# Every part

Written by `python docs/make_parts.py` from the parts themselves; a test sees that it is so. An option without a value must be given.
[files.md](files.md) says where in a file each kind goes, [extend.md](extend.md) how to add one.
"""
KINDS: tuple[tuple[str, Mapping[str, type[Any]], Collection[str]], ...] = (
    ("γ-strategies", GAMMA, ()),
    ("Scaling-factor inits", SCALE_INIT, ()),
    ("Weight binarizers", WEIGHTS, ("weight",)),
    ("Networks", NETWORKS, NETWORK_CONTEXT),
    ("Datasets", DATASETS, ()),
    ("Augmentations", AUGMENTATIONS, ()),
    ("Optimizers", OPTIMIZERS, ()),
    ("Schedules", SCHEDULES, ()),
    ("Teachers", TEACHERS, ()),
    ("Samplers", SAMPLERS, SAMPLER_CONTEXT),
    ("Pruners", PRUNERS, ()),
    ("Objectives", OBJECTIVES, ()),
    ("Formats of model files", FORMATS, ()),
)


def parts(registry: Mapping[str, type[Any]]) -> dict[str, type[Any]]:
    """The project's own, by name: what else is installed may add others."""
    return {name: cls for name, cls in sorted(registry.items()) if cls.__module__.startswith("rebnn_search.")}


def options(cls: type[Any], context: Collection[str]) -> Iterator[str]:
    """The options of a part, with their defaults."""
    for name, parameter in inspect.signature(cls).parameters.items():
        if name in context or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if parameter.default is parameter.empty:
            yield f"`{name}`"
        else:
            default = parameter.default
            yield f"`{name}: {_plain(default.name if isinstance(default, Component) else default)}`"


def _plain(value: object) -> str:
    return {None: "null", True: "true", False: "false"}[value] if value is None or isinstance(value, bool) else str(value)


def summary(cls: type[Any]) -> str:
    """The first sentence, or line, of a class's own docstring."""
    return _cell(" ".join((cls.__doc__ or "").strip().split("\n\n")[0].split()))


def _cell(text: str) -> str:
    return text.replace("``", "`").replace("|", "\\|")


def page() -> str:
    """The whole page."""
    lines = [HEAD]
    for title, registry, context in KINDS:
        lines += [f"## {title}\n", "| | | options |", "|---|---|---|"]
        for name, cls in parts(registry).items():
            lines.append(f"| `{name}` | {summary(cls)} | {', '.join(options(cls, context))} |")
        lines.append("")
    lines += ["## Figures of the report\n", "| | |", "|---|---|"]
    lines += [
        f"| `{figure.name}` | {_cell(figure.title)}: {_cell(figure.caption)} |"
        for figure in FIGURES
        if figure.draw.__module__.startswith("rebnn_search.")
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
