"""Reading and checking a search file, with the recipe that it names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from pydantic import ValidationError

from rebnn_search.base.packaged import anchor
from rebnn_search.config import (
    Document,
    UserError,
    apply_override,
    apply_overrides,
    explain,
    load,
    nearest,
    part_first,
    validate,
    with_value,
)
from rebnn_search.config.document import named
from rebnn_search.config.model import shown
from rebnn_search.config.reading import Place, read_yaml
from rebnn_search.study.automatic import CHOOSE, take_auto
from rebnn_search.study.objectives import OBJECTIVES, MeasuredObjective
from rebnn_search.study.search import Search, recipe_value
from rebnn_search.study.space import KINDS, SHOWN
from rebnn_search.study.spec import Params, SearchSpec
from rebnn_search.training import Recipe, load_recipe_document
from rebnn_search.training.recipe import NEW, make_absolute, settled_paths


def load_search(path: str | Path, overrides: Iterable[str] = ()) -> Search:
    """Read and check a search file and the recipe it names.

    An override whose first key is one of the search file's own (``trials=10``, ``pruner.name=none``) changes the search;
    every other (``epochs=2``, ``data.name=cifar10``) changes the recipe.

    Raises:
        UserError: For anything that would make a trial impossible: see `rebnn_search.config.validate`, and the checks of
            conditions, ranges, fixed configurations and of every choice against the recipe.
    """
    own = [field.alias or name for name, field in SearchSpec.model_fields.items()]
    overrides = list(overrides)
    mine = [o for o in overrides if _first_key(o) in own]
    for override in overrides:
        _check_first_key(override, [*own, *Recipe.model_fields])
    document = load(path)
    _check_kind(document)
    for override in mine:
        _override(document, override)
    automatic = take_auto(document)
    spec = validate(SearchSpec, document)
    recipe_path = Path(path).parent / spec.recipe
    if not recipe_path.is_file():
        raise UserError(f"{document.where(('recipe',))}: recipe = {spec.recipe!r}: no such file ({recipe_path})")
    recipe_document = load_recipe_document(recipe_path)
    for key in sorted(spec.overrides, key=part_first):
        try:
            recipe_document.data = with_value(recipe_document.data, tuple(key.split(".")), spec.overrides[key])
        except KeyError as error:
            raise UserError(f"{document.where(('set', key))}: set.{key}: {error.args[0]}") from None
        recipe_document.overridden[tuple(key.split("."))] = f"{document.where(('set', key))}: set"
    make_absolute(recipe_document, anchor(Path(path)))
    apply_overrides(recipe_document, [override for override in overrides if override not in mine])
    recipe_document.data = settled_paths(recipe_document.data)
    base = validate(Recipe, recipe_document, {NEW: True})
    if base.train_on != "train" or "train_on" in spec.space:
        raise UserError(
            f"{document.source}: train_on: a search judges its trials by the validation split, so none may train on it; "
            "python -m rebnn_search.refit trains the best of a search on both"
        )
    _check_sampler(spec, document)
    _check_stop(spec, document)
    unsettled = Search(spec, recipe_document.data, [])
    check_against_recipe(unsettled, document)
    search = _settled(unsettled, automatic)
    _check_measured(spec, document)
    search.fixed = [_complete(search, base, index, document) for index in range(len(spec.fixed))]
    return search


def _check_kind(document: Document) -> None:
    """A recipe given for a search file has some dozen unknown keys: say what it is instead."""
    if "space" not in document.data and "network" in document.data and "data" in document.data:
        raise UserError(
            f"{document.where(('network',))}: network: this is a recipe, of one training: python -m rebnn_search.train "
            f"{document.source} trains it; a search file names a recipe (recipe: FILE) and has a space"
        )


def _check_sampler(spec: SearchSpec, document: Document) -> None:
    """What a sampler asks of the space beside its options, in a ``check_space`` of its own."""
    check = getattr(spec.sampler.cls, "check_space", None)
    try:
        if check is not None:
            check(spec.sampler.options, spec.space)
    except ValueError as error:
        raise UserError(f"{document.where(('sampler',))}: sampler: {error}") from None


def _check_stop(spec: SearchSpec, document: Document) -> None:
    """Whether the value to stop at is one that the objective can have, and in its unit."""
    value = None if spec.stop_when is None else spec.stop_when.value
    if value is None:
        return
    name = spec.objective.metric
    objective = OBJECTIVES[name]()
    where = f"{document.where(('stop_when', 'value'))}: stop_when.value = {value:g}"
    if "%" in objective.units and 0 < value <= 1:
        raise UserError(f"{where}: {name} is in percent: write {100 * value:g} for {100 * value:g} %")
    if not objective.least <= value <= objective.most:
        raise UserError(f"{where}: {name} lies between {objective.least:g} and {objective.most:g}")


def check_overrides(search: Search, source: str, overrides: Iterable[str]) -> None:
    """Refuse a value for what varies anyway: whoever gives it means it to hold. A fixed configuration may leave it to the recipe.

    Args:
        search: A search that is to begin.
        source: Its file.
        overrides: What was typed.

    Raises:
        UserError: Names the value and the parameter.
    """
    given = {key: f"{source}: set.{key}" for key in search.spec.overrides}
    given |= {override.partition("=")[0].strip(): named(override) for override in overrides}
    for name in search.space:
        if name in given and all(name in fixed for fixed in search.spec.fixed):
            raise UserError(
                f"{given[name]}: {name} varies in this search, so that this would count for nothing; "
                f"to give it one value: --set 'space.{name}={{choice: [VALUE]}}'"
            )


def _settled(search: Search, automatic: Iterable[str]) -> Search:
    """The search with what its file leaves to it chosen."""
    for key in automatic:
        choice = CHOOSE[key](search)
        data = search.spec.given() | {key: choice.part}
        chosen = search.chosen | {key: choice.reason}
        search = Search(SearchSpec.model_validate(data), search.base, search.fixed, chosen)
    return search


def _check_measured(spec: SearchSpec, document: Document) -> None:
    for component in spec.measured():
        objective = component.build()
        assert isinstance(objective, MeasuredObjective)
        try:
            objective.check()
        except ValueError as error:
            index = next((index for index, other in enumerate(spec.objectives) if other.name == component.name), None)
            place: Place = ("constraints", component.name) if index is None else ("objectives", index)
            raise UserError(f"{document.where(place)}: {component.name}: {error}") from None


def _first_key(override: str) -> str:
    return override.split("=")[0].split(".")[0].strip()


def _check_first_key(override: str, keys: list[str]) -> None:
    # An unknown one could be meant for either file: the recipe alone would not know of the search's.
    key = _first_key(override)
    if "=" in override and key and key not in keys:
        allowed = f"allowed in search file and recipe: {', '.join(keys)}"
        raise UserError(f"{named(override)}: {shown(key)[1:-1]}: unknown key; {nearest(key, keys)}{allowed}")


def _override(document: Document, override: str) -> None:
    # Names of parameters hold dots themselves: the longest known name wins.
    key, _, _ = override.partition("=")
    space = document.data.get("space")
    if key.startswith("space.") and isinstance(space, dict):
        name = next((n for n in sorted(space, key=len, reverse=True) if key[6:] == n or key[6:].startswith(f"{n}.")), None)
        if name is not None:
            inner = Document(document.source, {"value": space[name]})
            apply_override(inner, "value" + override[len("space.") + len(name) :])
            space[name] = inner.data["value"]
            document.overridden["space", name] = named(override)
            return
        _, separator, text = override.partition("=")
        value = read_yaml(text, named(override)) if separator and text.strip() else None
        if isinstance(value, dict) and not value.keys().isdisjoint(KINDS):  # one more, which the file has not
            space[key[6:]] = value
            document.overridden["space", key[6:]] = named(override)
            return
    apply_override(document, override)


def check_against_recipe(search: Search, document: Document) -> None:
    """Check that every choice and every end of a range makes a valid recipe.

    Raises:
        UserError: Naming the parameter's place in the document, its value and what is wrong with it.
    """
    for name, parameter in search.space.parameters.items():
        for value in parameter.examples():
            params = search.space.example_with(name, value)
            _check_recipe(search, params, document, ("space", name, parameter.kind), f"{name} = {value!r}")


def _check_recipe(search: Search, params: Params, document: Document, place: Place, what: str) -> None:
    try:
        search.recipe(params, new=True)
    except KeyError as error:
        raise UserError(f"{document.where(place)}: {what} does not fit the recipe: {error.args[0]}") from None
    except ValidationError as error:
        given = ", ".join(f"{key}={value}" for key, value in params.items())
        problem = explain(error, Document("recipe", {})).removeprefix("recipe: ")
        hint = _hint(search, params, {".".join(map(str, detail["loc"])) for detail in error.errors(include_url=False)})
        raise UserError(f"{document.where(place)}: {what} makes no valid recipe (with {given}):\n  {problem}{hint}") from None


def _hint(search: Search, params: Params, wrong: Iterable[str]) -> str:
    """What may be meant where parameters of the space are no keys of its recipes: a longer name, or a condition."""
    hints = []
    for name in sorted(set(wrong) & params.keys()):
        part = name.rpartition(".")[0]
        if not part:
            longer = next((key for key in _dotted(search.base) if key.endswith(f".{name}")), None)
            hints += [f"did you mean {longer}?"] if longer else []
            continue
        for other in (other for other in params if other != name and other.rpartition(".")[0] == part):
            values = search.space.parameters[other].choice or []
            fits = [value for value in values[:SHOWN] if _makes_recipe(search, {**params, other: value})]
            if fits:
                condition = f"[{', '.join(map(str, fits))}]" if len(fits) > 1 else str(fits[0])
                hints.append(f"to have it where it fits, add to {name}: when: {{{other}: {condition}}}")
    return "".join(f"\n  {hint}" for hint in hints)


def _dotted(data: Mapping[str, object], above: str = "") -> Iterator[str]:
    """The dotted names of what a recipe says."""
    for key, value in data.items():
        yield f"{above}{key}"
        if isinstance(value, Mapping):
            yield from _dotted(value, f"{above}{key}.")


def _makes_recipe(search: Search, params: Params) -> bool:
    try:
        search.recipe(params, new=True)
    except (KeyError, ValidationError, UserError):
        return False
    return True


def _complete(search: Search, base: Recipe, index: int, document: Document) -> Params:
    """Fill a fixed configuration up with the recipe's values and check it."""
    given = search.spec.fixed[index]
    place: Place = ("fixed", index)
    for name, value in given.items():
        if name not in search.space.parameters:
            raise UserError(
                f"{document.where((*place, name))}: {name}: is no parameter of this space: {', '.join(search.space)}"
            )
        if not search.space.parameters[name].contains(value):
            allowed = search.space.parameters[name].allowed()
            raise UserError(f"{document.where((*place, name))}: {name} = {value!r}: the space has {allowed}")
    params: Params = {}
    for name, parameter in search.space.parameters.items():
        if not search.space.is_active(name, params):
            if name in given:
                raise UserError(f"{document.where((*place, name))}: {name}: its condition {parameter.when} does not hold here")
            continue
        value = given[name] if name in given else recipe_value(base, name)
        if not parameter.contains(value):
            raise UserError(
                f"{document.where(place)}: fixed configuration {index + 1} leaves out {name}, and the recipe's value "
                f"{value!r} is not {parameter.allowed()}"
            )
        params[name] = parameter.canonical(value)
    _check_recipe(search, params, document, place, f"fixed configuration {index + 1}")
    return params
