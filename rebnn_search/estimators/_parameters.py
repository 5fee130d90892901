"""From an estimator's parameters to the recipe that is trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rebnn_search.config import Component, Document, UserError, part_first, validate, with_value
from rebnn_search.training import Recipe
from rebnn_search.training.data import Dataset
from rebnn_search.training.recipe import NEW

IN_MEMORY: Component[Dataset] = Component("name", "in_memory")
"""The recipe's dataset: what `fit` is given. It is never built, for the trainer is handed the opened data."""


OURS = ("data", "seed")
"""Keys of a recipe that `fit` gives: the data it is given, and a seed drawn from ``random_state``."""


PARAMETERS = ("gamma", "scale_init", "weights", "network", "optimizer", "schedule", "epochs", "batch_size")
"""Keys of a recipe that a parameter of the same name is for."""


def recipe_data(params: Mapping[str, Any], images: bool, seed: int) -> dict[str, object]:
    """The recipe of an estimator's parameters, as a file would hold it.

    Args:
        params: As ``get_params(deep=False)`` gives them.
        images: Whether the samples are images.
        seed: The recipe's.

    Raises:
        ValueError: If ``overrides`` names what no recipe has, or what `fit` decides.
    """
    network = part("name", params["network"] or ("digits_resnet" if images else "mlp"))
    network |= {key: params[key] for key in ("width", "depth") if params[key] is not None}
    gamma = part("strategy", params["gamma"])
    if params["gamma_value"] is not None:
        gamma["value"] = params["gamma_value"]
    data: dict[str, object] = {
        "data": IN_MEMORY,
        "network": network,
        "weights": params["weights"],
        "gamma": gamma,
        "scale_init": part("strategy", params["scale_init"]),
        "optimizer": {**part("name", params["optimizer"]), "lr": params["lr"], "weight_decay": params["weight_decay"]},
        "schedule": part("name", params["schedule"]),
        "epochs": params["epochs"],
        "batch_size": params["batch_size"],
        "reports_per_epoch": 1,
        # Tables are small and predictions are made in full precision: bfloat16 would gain nothing and blur the history.
        "precision": {"dtype": "float32"},
        "seed": seed,
    }
    overrides = params["overrides"] or {}
    for name in sorted(overrides, key=part_first):
        value = overrides[name]
        if name.split(".")[0] in OURS:
            raise ValueError(f"overrides: {name}: the data and random_state are the estimator's to give")
        try:
            data = with_value(data, tuple(name.split(".")), value)
        except KeyError as error:
            raise ValueError(f"overrides: {name}: {error.args[0]}") from None
    return {key: plain(value) for key, value in data.items()}


def from_recipe(recipe: Recipe) -> tuple[dict[str, Any], dict[str, Any]]:
    """A recipe's values as an estimator's parameters, and those that it has no parameter for, by their keys."""
    values, optimizer = recipe.dump(), recipe.optimizer.build()
    parameters: dict[str, Any] = {key: values.pop(key) for key in PARAMETERS if key in values}
    chosen = part("name", parameters["optimizer"])
    parameters |= {key: getattr(optimizer, key) for key in ("lr", "weight_decay")}
    parameters["optimizer"] = {key: value for key, value in chosen.items() if key not in ("lr", "weight_decay")}
    return parameters, {key: value for key, value in values.items() if key not in (*OURS, "reports_per_epoch")}


def part(key: str, given: object) -> dict[str, object]:
    """A part given by its name, or as a mapping of its name and options, as the mapping."""
    return dict(given) if isinstance(given, Mapping) else {key: given}


def plain(value: object) -> object:
    """A value with numpy's scalars as Python's: grids are often made with ``numpy.linspace``."""
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    return value.item() if isinstance(value, np.generic) else value


def make_recipe(data: Mapping[str, object]) -> Recipe:
    """The recipe of its data.

    Raises:
        ValueError: Naming for each mistake the key, its value and what is allowed.
    """
    try:
        return validate(Recipe, Document("parameters", dict(data)), {NEW: True})
    except UserError as error:
        raise ValueError(str(error)) from None


def fitting_batch(recipe: Recipe, count: int) -> Recipe:
    """The recipe with a batch size at most its own that uses ``count`` samples with as few as can be left out of an epoch.

    Raises:
        ValueError: If the batch size is 1: a BatchNorm has no statistics of one sample.
    """
    if recipe.batch_size < 2:
        raise ValueError(f"batch_size must be at least 2, not {recipe.batch_size}: BatchNorm needs two samples")
    steps = -(-count // recipe.batch_size)
    size = max(2, count // steps)
    return recipe.model_copy(update={"batch_size": size, "accumulate": min(recipe.accumulate, size)})
