"""What an objective keeps to."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from rebnn_search.config import Component
from rebnn_search.study.constraints import parse_limit
from rebnn_search.study.measuring import measured_network
from rebnn_search.study.objectives import BaseObjective, MeasuredNetwork, MeasuredObjective, goal_of
from rebnn_search.study.objectives.base import OBJECTIVES
from rebnn_search.training import Recipe, Trainer

Make = Callable[[], BaseObjective]

NETWORKS = ({"name": "digits_resnet", "width": 4}, {"name": "mlp", "width": 8, "depth": 1})


def _networks() -> list[MeasuredNetwork]:
    found = []
    for network in NETWORKS:
        trainer = Trainer(Recipe.model_validate({
            "data": {"name": "digits"}, "network": network, "optimizer": {"name": "adam", "lr": 0.01}, "epochs": 1, "batch_size": 64,
        }))  # fmt: skip
        found.append(measured_network(trainer))
        trainer.close()
    return found


def says_how_it_is_compared_and_written(make: Make) -> None:
    """Which way is better, between which bounds, and how a value is written."""
    objective = make()
    assert objective.direction in ("minimize", "maximize"), f"direction is {objective.direction!r}"
    assert objective.least < objective.most, "no value is possible"
    assert float(format(1234.5, objective.form).replace(",", "")) > 0, f"{objective.form!r} writes no number"
    assert objective.heading("name").strip(), "a column of it would have no heading"


def can_be_constrained_in_each_of_its_units(make: Make) -> None:
    """A bound within its range is read in every unit, and what was read is read again."""
    objective = make()
    name = next((name for name, cls in OBJECTIVES.items() if cls is type(objective)), "objective")
    goal = goal_of(Component("name", name, {}, lambda: objective))
    inside = objective.least + 1 if math.isfinite(objective.least) else 1.0
    assert objective.units, "no constraint can be written"
    for unit, size in objective.units.items():
        limit = parse_limit(goal, objective, f"<= {inside / size!r} {unit}")
        assert math.isclose(limit.bound, inside), f"{inside / size} {unit} is read as {limit.bound}"
        assert parse_limit(goal, objective, limit.text).text == limit.text


def measures_a_number(make: Make) -> None:
    """Of any network a finite number in its range; a static one the same each time. Threads and random numbers stay as they were."""
    objective = make()
    if not isinstance(objective, MeasuredObjective):
        return
    objective.check()
    for model in _networks():
        threads, state = torch.get_num_threads(), torch.get_rng_state()
        value = objective.measure(model)
        assert math.isfinite(value) and objective.least <= value <= objective.most, f"measured {value}"
        assert torch.get_num_threads() == threads, "changes the number of threads"
        assert torch.equal(torch.get_rng_state(), state), "draws from the random numbers that training draws from"
        if objective.static:
            assert objective.measure(model) == value, "is not the same each time, and so not static"


OBJECTIVE_CHECKS = (says_how_it_is_compared_and_written, can_be_constrained_in_each_of_its_units, measures_a_number)
"""For anything that makes an objective: its class, where its options have defaults."""
