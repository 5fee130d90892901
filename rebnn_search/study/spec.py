"""The search file as a model: which recipe, what varies, how it is sampled, pruned, run and judged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from optuna.samplers import BaseSampler
from pydantic import Field, ValidationError, field_validator, model_validator

from rebnn_search.base.metrics import VAL_LOSS
from rebnn_search.config import (
    Choose,
    Component,
    Document,
    Strict,
    UserError,
    apply_override,
    explain,
    fail,
    get_value,
    load,
    nearest,
    validate,
    with_value,
)
from rebnn_search.config.document import named
from rebnn_search.config.model import shown
from rebnn_search.config.reading import Place
from rebnn_search.study.names import run_name
from rebnn_search.study.pruners import PRUNERS, Pruner
from rebnn_search.study.ranking import Direction
from rebnn_search.study.samplers import CONTEXT, SAMPLERS, has_trait
from rebnn_search.study.space import Parameter, Space, Value, build_space
from rebnn_search.training import Recipe, load_recipe_document
from rebnn_search.training.recipe import NEW

Params = dict[str, Value]

MOST = 1_000_000
"""Trials, and whatever else is counted: more is a slip of the finger."""
MOST_WORKERS = 10_000
"""Processes, cores or GPUs of one trial."""


class Objective(Strict):
    """What a trial is judged by: a metric of its reports, at its last report.

    Attributes:
        metric: Name of a validation metric. The test split is never an objective.
        direction: ``minimize`` or ``maximize``; by default the one that is better.
    """

    metric: Literal["val/loss", "val/top1", "val/top5"] = "val/loss"
    direction: Literal["minimize", "maximize"] = "minimize"

    @model_validator(mode="before")
    @classmethod
    def _natural(cls, data: object) -> object:
        if isinstance(data, dict) and "direction" not in data and "metric" in data:
            return {**data, "direction": _direction_of(data["metric"])}
        return data

    @model_validator(mode="after")
    def _agree(self) -> Objective:
        natural = _direction_of(self.metric)
        if self.direction != natural:
            fail("objective", ("direction",), f"{self.metric} must be {natural}d", self.direction)
        return self

    @property
    def minimize(self) -> bool:
        """Whether less is better."""
        return self.direction == "minimize"

    def sort_key(self, value: float | None) -> float:
        """A number that is the smaller, the better the value; no value is worse than any."""
        return Direction(self.minimize).sort_key(value)


def _direction_of(metric: object) -> Literal["minimize", "maximize"]:
    return "minimize" if metric == VAL_LOSS else "maximize"


class Resources(Strict):
    """What one trial holds while it runs.

    Attributes:
        workers_per_trial: Processes that train one trial together (DDP).
        cpus_per_worker: CPU cores of each worker; also its number of torch threads.
        gpus_per_worker: GPUs of each worker; a fraction shares one.
        max_concurrent: Trials at a time; by default as many as the cluster has room for.
    """

    workers_per_trial: Annotated[int, Field(ge=1, le=MOST_WORKERS)] = 1
    cpus_per_worker: Annotated[int, Field(ge=1, le=MOST_WORKERS)] = 1
    gpus_per_worker: Annotated[float, Field(ge=0, le=MOST_WORKERS, allow_inf_nan=False)] = 0.0
    max_concurrent: Annotated[int, Field(ge=1, le=MOST)] | None = None

    @field_validator("gpus_per_worker")
    @classmethod
    def _whole_or_a_share(cls, gpus: float) -> float:
        # Ray counts GPUs in ten-thousandths, and several of them whole.
        if gpus != int(gpus) and (gpus > 1 or gpus < 1e-4):
            raise ValueError("must be a whole number, or a share of one GPU between 0.0001 and 1")
        return gpus


class SearchSpec(Strict):
    """A search file.

    Attributes:
        recipe: Path of the recipe whose values vary, relative to the search file.
        overrides: Values laid over the recipe's for the whole search (``set`` in a file).
        space: The parameters by their dotted names in the recipe.
        fixed: Configurations to run first; what one leaves out keeps the recipe's value.
        trials: How many trials in all, the fixed ones included; with several seeds a multiple of their number.
        seeds: Trials of each configuration, which differ in their seed alone: the recipe's and those that follow it. Configurations
            are then ranked by the mean over their seeds.
        sampler_seed: Seed of the sampler. A trial's own seed is its recipe's `seed`.
        max_failures: How often a trial whose worker died is started again from its checkpoint.
    """

    recipe: str
    overrides: dict[str, Any] = Field(default_factory=dict, alias="set")
    space: dict[str, Parameter]
    fixed: list[dict[str, Any]] = Field(default_factory=list)
    objective: Objective = Objective()
    sampler: Annotated[Component[BaseSampler], Choose(SAMPLERS, "sampler", context=CONTEXT, construct=True)] = Component(
        "name", "tpe", {}, SAMPLERS["tpe"]
    )
    pruner: Annotated[Component[Pruner], Choose(PRUNERS, "pruner", construct=True)] = Component(
        "name", "median", {}, PRUNERS["median"]
    )
    trials: Annotated[int, Field(ge=1, le=MOST)]
    seeds: Annotated[int, Field(ge=1, le=MOST)] = 1
    sampler_seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    max_failures: Annotated[int, Field(ge=0, le=MOST)] = 2
    resources: Resources = Resources()

    @field_validator("space")
    @classmethod
    def _conditions(cls, space: dict[str, Parameter]) -> dict[str, Parameter]:
        if not space:
            fail("space", (), "nothing varies: name at least one parameter", space)
        return dict(build_space(space).parameters)

    @model_validator(mode="after")
    def _whole_configurations(self) -> SearchSpec:
        if self.trials % self.seeds:
            fail(
                "search", ("trials",), f"must be a multiple of seeds, {self.seeds}: each configuration has so many", self.trials
            )
        if self.seeds > 1 and "seed" in self.space:
            fail("search", ("space", "seed"), f"varies already: every configuration has seeds: {self.seeds}", self.seeds)
        endless = next((name for name, parameter in self.space.items() if parameter.grid() is None), None)
        if has_trait(self.sampler, "exhaustive") and endless is not None:
            fail("search", ("sampler",), f"tries every point of a space, and {endless} has no step: it has endless ones", None)
        return self


class Search:
    """A search file joined with its recipe: everything a search needs to know, checked.

    Attributes:
        spec: The search file.
        base: The recipe's data after the file's ``set``.
        space: The parameters, parents first.
        fixed: The fixed configurations, complete.
    """

    def __init__(self, spec: SearchSpec, base: Mapping[str, Any], fixed: list[Params]) -> None:
        self.spec = spec
        self.base = dict(base)
        self.space = Space(spec.space)
        self.fixed = fixed

    def recipe(self, params: Mapping[str, Value], *, new: bool = False) -> Recipe:
        """The recipe of one configuration; with ``new`` one that a training is to begin by."""
        return Recipe.model_validate(self.recipe_data(params), context={NEW: new})

    def recipe_data(self, params: Mapping[str, Value], number: int = 0) -> dict[str, Any]:
        """The data of the recipe of one configuration, as a file would hold it, with the seed of a trial's number."""
        data = self.base
        for name in self.space:
            if name in params:
                data = with_value(data, tuple(name.split(".")), params[name])
        seed = self.seed_of(number)
        return data if seed is None else with_value(data, ("seed",), seed)

    @property
    def trials(self) -> int:
        """How many trials there will be: those asked for, or fewer where every point of the space is then tried."""
        size = self.space.size() if has_trait(self.spec.sampler, "exhaustive") else None
        return self.spec.trials if size is None else min(self.spec.trials, size * self.spec.seeds)

    def configuration_of(self, number: int) -> int:
        """The number of a trial's configuration."""
        return number // self.spec.seeds

    def seed_of(self, number: int) -> int | None:
        """A trial's seed; None where configurations have one trial each and keep the recipe's."""
        if self.spec.seeds == 1:
            return None
        return int(self.base.get("seed", 0)) + number % self.spec.seeds

    def name_of(self, number: int, params: Mapping[str, Value]) -> str:
        """What a trial is called."""
        return run_name(number, params, self.seed_of(number))

    def dump(self) -> dict[str, Any]:
        """The resolved search as plain data: it and the recipe in it need no other file."""
        data = self.spec.model_dump(by_alias=True, exclude_defaults=False)
        data["space"] = {n: p.model_dump(by_alias=True, exclude_defaults=True) for n, p in self.spec.space.items()}
        data["fixed"] = self.fixed
        del data["recipe"], data["set"]
        return {"recipe": self.base, **data}


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
    for override in mine:
        _override(document, override)
    spec = validate(SearchSpec, document)
    recipe_path = Path(path).parent / spec.recipe
    if not recipe_path.is_file():
        raise UserError(f"{document.where(('recipe',))}: recipe = {spec.recipe!r}: no such file ({recipe_path})")
    recipe_document = load_recipe_document(recipe_path)
    for key, value in spec.overrides.items():
        try:
            recipe_document.data = with_value(recipe_document.data, tuple(key.split(".")), value)
        except KeyError as error:
            raise UserError(f"{document.where(('set', key))}: set.{key}: {error.args[0]}") from None
        recipe_document.overridden[tuple(key.split("."))] = f"{document.where(('set', key))}: set"
    for override in overrides:
        if override not in mine:
            apply_override(recipe_document, override)
    base = validate(Recipe, recipe_document, {NEW: True})
    if base.train_on != "train" or "train_on" in spec.space:
        raise UserError(
            f"{document.source}: train_on: a search judges its trials by the validation split, so none may train on it; "
            "python -m rebnn_search.refit trains the best of a search on both"
        )
    search = Search(spec, recipe_document.data, [])
    check_against_recipe(search, document)
    search.fixed = [_complete(search, base, index, document) for index in range(len(spec.fixed))]
    return search


def restore_search(data: Mapping[str, Any]) -> Search:
    """Make a search again from what `Search.dump` gave."""
    rest = {key: value for key, value in data.items() if key != "recipe"}
    spec = SearchSpec.model_validate({"recipe": "", **rest})
    return Search(spec, data["recipe"], [dict(params) for params in data["fixed"]])


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
        raise UserError(f"{document.where(place)}: {what} makes no valid recipe (with {given}):\n  {problem}") from None


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


def recipe_value(recipe: Recipe, name: str) -> object:
    """A recipe's value by its dotted name, defaults of chosen parts included; a part is its name, or a mapping where it has
    options; None where it has none.
    """
    node: object = recipe
    for key in name.split("."):
        if isinstance(node, Component):
            if key == node.key:
                node = node.name
            else:
                try:
                    node = node[key]
                except KeyError:
                    return None
        elif isinstance(node, Mapping):
            node = get_value(node, (key,))
        else:
            node = getattr(node, key, None)
    return node.brief() if isinstance(node, Component) else node
