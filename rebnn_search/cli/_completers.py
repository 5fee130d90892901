"""What can stand in an argument's place, found within milliseconds: neither torch, Ray nor Optuna is imported."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rebnn_search.base.discovery import part_names, registered_names
from rebnn_search.base.layout import SEARCH_FILE
from rebnn_search.base.packaged import PACKAGE, RECIPES, SPACES, find_file, packaged_files

Completer = Callable[..., list[str]]
"""Called with ``prefix`` and ``parsed_args``, as argcomplete does."""

PARTS: Mapping[str, tuple[str, str]] = {
    "sampler.name": ("SAMPLERS", "study/samplers"),
    "pruner.name": ("PRUNERS", "study/pruners"),
    "data.name": ("DATASETS", "training/data"),
    "data.augment.name": ("AUGMENTATIONS", "training/data"),
    "network.name": ("NETWORKS", "method/networks"),
    "weights": ("WEIGHTS", "method/weights"),
    "gamma.strategy": ("GAMMA", "method/gamma"),
    "scale_init.strategy": ("SCALE_INIT", "method/scaling"),
    "optimizer.name": ("OPTIMIZERS", "training"),
    "schedule.name": ("SCHEDULES", "training"),
    "loss.teacher.name": ("TEACHERS", "training"),
}
"""Keys whose values are registered parts: the registry's variable and the folder of its parts."""
SEARCH_KEYS = frozenset({"trials", "seeds", "sampler.name", "pruner.name", "sampler_seed", "max_failures", "resources"})
"""Keys of a search file; others that ``--set`` takes are the recipe's."""
RECIPE_KEYS = ("epochs", "batch_size", "accumulate", "reports_per_epoch", "optimizer.lr", "seed", "precision.dtype")
OWN_PARTS = {"weights": {"real"}}
"""Names that a registry has for the program's own use."""


def part_values(key: str) -> list[str]:
    """The registered names that a key's value can be; plug-ins' are left out, which would have to be imported."""
    registry, folder = PARTS[key]
    return [name for name in registered_names(registry, PACKAGE / folder) if name not in OWN_PARTS.get(key, ())]


def spaces(prefix: str, **context: Any) -> list[str]:
    """Search files: by name, and by path."""
    return [*packaged_files(SPACES), *_yaml_files(prefix)]


def recipes(prefix: str, **context: Any) -> list[str]:
    """Recipes: by name, and by path."""
    return [*packaged_files(RECIPES), *_yaml_files(prefix)]


def space_names(prefix: str, **context: Any) -> list[str]:
    """Search files that come with the program."""
    return list(packaged_files(SPACES))


def searches(prefix: str, parsed_args: argparse.Namespace, **context: Any) -> list[str]:
    """The searches of the storage that the command line names so far; none of an object store, which is too far away."""
    storage = getattr(parsed_args, "storage", None) or "results"
    return [] if "://" in storage else [file.parent.name for file in Path(storage).glob(f"*/{SEARCH_FILE}")]


def formats(prefix: str, **context: Any) -> list[str]:
    """Formats of model files."""
    return part_names(PACKAGE / "export" / "formats")


def overrides(prefix: str, parsed_args: argparse.Namespace, **context: Any) -> list[str]:
    """``KEY=`` of what the named file and its recipe say, and ``KEY=PART`` once the key is there."""
    key, separator, _ = prefix.partition("=")
    if separator:
        return [f"{key}={value}" for value in part_values(key)] if key in PARTS else []
    known = set(PARTS) | set(RECIPE_KEYS)
    if hasattr(parsed_args, "space"):
        return sorted(f"{name}=" for name in known | SEARCH_KEYS | _keys(parsed_args.space, SPACES))
    return sorted(f"{name}=" for name in (known | _keys(parsed_args.recipe, RECIPES)) - SEARCH_KEYS)


def _keys(given: str | None, folder: str) -> set[str]:
    """The keys of a file, and of the recipe it names, with dots between levels."""
    from rebnn_search.config import UserError, load

    if given is None:
        return set()
    try:
        file = find_file(given, folder)
        data = load(file).data
        recipe = data.get("recipe")
        keys = set(_dotted(data, "")) - {"recipe", "fixed"}
        return keys | _keys(str(file.parent / recipe), RECIPES) if isinstance(recipe, str) else keys
    except UserError:
        return set()


def _dotted(data: Mapping[str, object], before: str) -> Iterator[str]:
    for key, value in data.items():
        name = f"{before}{key}"
        if isinstance(value, Mapping) and name != "space":
            yield from _dotted(value, f"{name}.")
        else:
            yield name


def _yaml_files(prefix: str) -> Iterator[str]:
    """Paths that go on from what is typed: folders, and YAML files."""
    folder, _, name = prefix.rpartition("/")
    base = f"{folder}/" if folder or prefix.startswith("/") else ""
    for path in sorted(Path(base or ".").glob("*")):
        if path.name.startswith(name) and not path.name.startswith("."):
            if path.is_dir():
                yield f"{base}{path.name}/"
            elif path.suffix in (".yaml", ".yml"):
                yield f"{base}{path.name}"


BY_METAVAR: Mapping[str, Completer] = {
    "NAME": searches, "SPACE.yaml": spaces, "RECIPE.yaml": recipes, "KEY=VALUE": overrides, "FORMAT": formats,
}  # fmt: skip
"""What an argument takes, by the name that ``--help`` gives it."""
BY_PLACE: Mapping[tuple[str, str], Completer] = {("new", "source"): space_names, ("run", "name"): searches}
"""The same for an argument of one verb, by its name in the code, where that says more."""
