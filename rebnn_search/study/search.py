"""A search file joined with its recipe: which recipe each trial trains, and what it is judged by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from rebnn_search.base.metrics import HEADLINE
from rebnn_search.config import Component, get_value, part_first, with_value
from rebnn_search.study.names import run_name
from rebnn_search.study.objectives import Goal
from rebnn_search.study.samplers import has_trait
from rebnn_search.study.space import Space, Value
from rebnn_search.study.spec import Params, SearchSpec
from rebnn_search.training import Recipe
from rebnn_search.training.recipe import NEW

STAND_INS = {"network": {"name": "mlp"}, "data": {"name": "digits"}}
"""Parts of a recipe that may name code of the user's (`rebnn_search.training.custom_parts`), and others in their place."""


class Search:
    """A search file joined with its recipe: everything a search needs to know, checked.

    Attributes:
        spec: The search file.
        base: The recipe's data after the file's ``set``.
        space: The parameters, parents first.
        fixed: The fixed configurations, complete.
        chosen: Why each part was taken that the file leaves to the search, by its key.
        goals: The objectives; the first is ``spec.objective``.
        limits: The constraints.
        measured: What is measured of a trial's network, as a file would write it.
    """

    def __init__(
        self, spec: SearchSpec, base: Mapping[str, Any], fixed: list[Params], chosen: Mapping[str, str] | None = None
    ) -> None:
        self.spec = spec
        self.chosen = dict(chosen or {})
        self.base = dict(base)
        self.space = Space(spec.space)
        self.fixed = fixed
        self.goals = tuple(spec.goals())
        self.limits = tuple(spec.limits())
        self.measured = tuple(component.dump() for component in spec.measured())

    @property
    def judged(self) -> list[Goal]:
        """The objectives, and what constraints are about."""
        return list({goal.name: goal for goal in (*self.goals, *(limit.goal for limit in self.limits))}.values())

    @property
    def extras(self) -> list[Goal]:
        """The objectives, of goals and constraints, that are not among the metrics which every trial's summary has."""
        return [goal for goal in self.judged if goal.name not in HEADLINE]

    def values(self, summary: Mapping[str, float]) -> dict[str, float]:
        """Of a trial's summary the objectives, and what constraints are about."""
        return {goal.name: summary[goal.name] for goal in self.judged if goal.name in summary}

    def broken(self, values: Mapping[str, float], *, ended: bool = True) -> str | None:
        """Which constraints a trial's values are beyond, in words; None if they keep to all.

        Args:
            values: By objective; one that is missing breaks nothing.
            ended: Whether the trial was trained to its end; before, only what the recipe alone decides counts.
        """
        limits = [limit for limit in self.limits if ended or limit.goal.static]
        told = [limit.broken_by(values[limit.name]) for limit in limits if limit.name in values]
        return "; ".join(text for text in told if text is not None) or None

    def recipe(self, params: Mapping[str, Value], *, new: bool = False) -> Recipe:
        """The recipe of one configuration; with ``new`` one that a training is to begin by."""
        return Recipe.model_validate(self.recipe_data(params), context={NEW: new})

    def recipe_data(self, params: Mapping[str, Value], number: int = 0) -> dict[str, Any]:
        """The data of the recipe of one configuration, as a file would hold it, with the seed of a trial's number."""
        data = self.base
        for name in sorted((name for name in self.space if name in params), key=part_first):
            data = with_value(data, tuple(name.split(".")), params[name])
        seed = self.seed_of(number)
        return data if seed is None else with_value(data, ("seed",), seed)

    def check_data(self) -> None:
        """See that the data are where the recipe says, as far as that takes no reading; nothing is seen where the data vary.

        Raises:
            UserError: If they are not.
        """
        if any(name.split(".")[0] == "data" for name in self.space) or ":" in _part_name(self.base, "data"):
            return
        first = next(iter(self.space))
        params = self.fixed[0] if self.fixed else self.space.example_with(first, self.space.parameters[first].examples()[0])
        self.recipe(params).data.build().check_place()

    @property
    def own_parts(self) -> list[str]:
        """Functions of the user's, as MODULE:NAME, that its recipes name as network or dataset."""
        named = [_part_name(self.base, part) for part in STAND_INS]
        for part in STAND_INS:
            varied = self.space.parameters.get(f"{part}.name")
            named += [str(name) for name in (varied.choice if varied is not None else None) or ()]
        return list(dict.fromkeys(name for name in named if ":" in name))

    def recipe_values(self, params: Mapping[str, Value], names: Iterable[str]) -> dict[str, object]:
        """Values of one configuration's recipe by their dotted names, as `effective_value`; runs no code of the user's.

        Of a part that is the user's own, and where values do not go together, they are those that the configuration sets.
        """
        data = self.recipe_data(params)
        own = {part for part in STAND_INS if ":" in _part_name(data, part)}
        try:
            recipe = Recipe.model_validate({**data, **{part: STAND_INS[part] for part in own}})
        except ValidationError:
            return {name: params.get(name) for name in names}
        return {name: params.get(name) if name.split(".")[0] in own else effective_value(recipe, name) for name in names}

    def epochs_of(self, params: Mapping[str, Value]) -> float:
        """Epochs of one configuration trained to its end."""
        return float(str(params.get("epochs", self.base["epochs"])))

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
        data = self.spec.given()
        data["space"] = {n: p.model_dump(by_alias=True, exclude_defaults=True) for n, p in self.spec.space.items()}
        data["fixed"] = self.fixed
        del data["recipe"], data["set"]
        return {"recipe": self.base, **data}


def _part_name(recipe: Mapping[str, Any], part: str) -> str:
    given = recipe.get(part)
    return str(given.get("name", "") if isinstance(given, Mapping) else given)


def restore_search(data: Mapping[str, Any]) -> Search:
    """Make a search again from what `Search.dump` gave."""
    rest = {key: value for key, value in data.items() if key != "recipe"}
    spec = SearchSpec.model_validate({"recipe": "", **rest})
    return Search(spec, data["recipe"], [dict(params) for params in data["fixed"]])


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


def effective_value(recipe: Recipe, name: str) -> object:
    """A recipe's value by its dotted name; None for what ReBNN's alone has where the weights are another's."""
    if not recipe.resilient and name.split(".")[0] in ("gamma", "scale_init"):
        return None
    return recipe_value(recipe, name)
