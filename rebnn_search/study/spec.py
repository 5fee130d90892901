"""The search file as a model: what varies, how it is sampled, pruned, run and judged."""

from __future__ import annotations

from typing import Annotated, Any

from optuna.samplers import BaseSampler
from pydantic import Field, field_validator, model_validator

from rebnn_search.base.metrics import VAL_LOSS
from rebnn_search.config import Choose, Component, Strict, fail, nearest
from rebnn_search.study.automatic import AUTO
from rebnn_search.study.constraints import Limit, parse_limit
from rebnn_search.study.objectives import OBJECTIVES, BaseObjective, Direction, Goal, MeasuredObjective, goal_of, reported_names
from rebnn_search.study.pruners import PRUNERS, Pruner
from rebnn_search.study.ranking import Ordering
from rebnn_search.study.samplers import CONTEXT, SAMPLERS, has_trait
from rebnn_search.study.space import Parameter, Value, build_space
from rebnn_search.study.stopping import StopWhen

Params = dict[str, Value]

MOST = 1_000_000
"""Trials, and whatever else is counted: more is a slip of the finger."""
MOST_WORKERS = 10_000
"""Processes, cores or GPUs of one trial."""
MOST_PRIORITY = 1000


class Objective(Strict):
    """What a trial is judged by first, and pruned by: a metric of its reports, at its last report.

    Attributes:
        metric: Name of an objective that every report has, as a validation metric. The test split is never an objective.
        direction: ``minimize`` or ``maximize``; by default the one that is better.
    """

    metric: str = VAL_LOSS
    direction: Direction = "minimize"

    @field_validator("metric")
    @classmethod
    def _reported(cls, metric: str) -> str:
        names = reported_names()
        if metric not in names:
            raise ValueError(f"no such metric; {nearest(metric, names)}valid are {', '.join(names)}")
        return metric

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
        return Ordering(self.direction).sort_key(value)


def _direction_of(metric: object) -> Direction:
    found = OBJECTIVES.get(metric) if isinstance(metric, str) else None
    return "minimize" if found is None else found.direction


class Resources(Strict):
    """What one trial holds while it runs.

    Attributes:
        workers_per_trial: Processes that train one trial together (DDP).
        cpus_per_worker: CPU cores of each worker; also its number of torch threads.
        gpus_per_worker: GPUs of each worker; a fraction shares one.
        max_concurrent: Trials at a time; by default as many as the cluster has room for.
        priority: Weight of the search's share where several run on one cluster.
    """

    workers_per_trial: Annotated[int, Field(ge=1, le=MOST_WORKERS)] = 1
    cpus_per_worker: Annotated[int, Field(ge=1, le=MOST_WORKERS)] = 1
    gpus_per_worker: Annotated[float, Field(ge=0, le=MOST_WORKERS, allow_inf_nan=False)] = 0.0
    max_concurrent: Annotated[int, Field(ge=1, le=MOST)] | None = None
    priority: Annotated[int, Field(ge=1, le=MOST_PRIORITY)] = 1

    @field_validator("gpus_per_worker")
    @classmethod
    def _whole_or_a_share(cls, gpus: float) -> float:
        # Ray counts GPUs in ten-thousandths, and several of them whole.
        if gpus != int(gpus) and (gpus > 1 or gpus < 1e-4):
            raise ValueError("must be a whole number, or a share of one GPU between 0.0001 and 1")
        return gpus


class WarmStart(Strict):
    """Which earlier search's best configurations are tried first.

    Attributes:
        search: Its name, in the same storage.
        best: How many of its configurations, at most.
    """

    search: str
    best: Annotated[int, Field(ge=1, le=MOST)] = 5

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, data: object) -> object:
        return {"search": data} if isinstance(data, str) else data


class SearchSpec(Strict):
    """A search file.

    Attributes:
        recipe: Path of the recipe whose values vary, relative to the search file.
        overrides: Values laid over the recipe's for the whole search (``set`` in a file).
        space: The parameters by their dotted names in the recipe.
        fixed: Configurations to run first; what one leaves out keeps the recipe's value.
        warm_start: An earlier search whose best configurations follow the fixed ones; its name alone will do.
        objectives: In place of ``objective``: several, of which the first is one that every report has.
        constraints: What a trial must keep to in order to be named best: ``<= NUMBER UNIT`` or ``>= NUMBER UNIT`` by objective.
        trials: How many trials in all, the fixed ones included; with several seeds a multiple of their number.
        stop_when: When fewer trials will do.
        seeds: Trials of each configuration, which differ in their seed alone: the recipe's and those that follow it. Configurations
            are then ranked by the mean over their seeds.
        sampler: Which configurations are tried; for a file that names none `rebnn_search.study.automatic` chooses.
        pruner: Which trials are ended early, likewise.
        sampler_seed: Seed of the sampler. A trial's own seed is its recipe's `seed`.
        max_failures: How often a trial whose worker died is started again from its checkpoint.
    """

    recipe: str
    overrides: dict[str, Any] = Field(default_factory=dict, alias="set")
    space: dict[str, Parameter]
    fixed: list[dict[str, Any]] = Field(default_factory=list)
    warm_start: WarmStart | None = None
    objective: Objective = Objective()
    objectives: list[Annotated[Component[BaseObjective], Choose(OBJECTIVES, "objective", construct=True)]] = Field(
        default_factory=list
    )
    constraints: dict[str, str] = Field(default_factory=dict)
    sampler: Annotated[Component[BaseSampler], Choose(SAMPLERS, "sampler", context=CONTEXT, construct=True, also=(AUTO,))] = (
        Component("name", "tpe", {}, SAMPLERS["tpe"])
    )
    pruner: Annotated[Component[Pruner], Choose(PRUNERS, "pruner", construct=True, also=(AUTO,))] = Component(
        "name", "median", {}, PRUNERS["median"]
    )
    trials: Annotated[int, Field(ge=1, le=MOST)]
    stop_when: StopWhen | None = None
    seeds: Annotated[int, Field(ge=1, le=MOST)] = 1
    sampler_seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    max_failures: Annotated[int, Field(ge=0, le=MOST)] = 2
    resources: Resources = Resources()

    @model_validator(mode="before")
    @classmethod
    def _first_objective(cls, data: object) -> object:
        """The first of several is the one that reports, the pruner and what shows progress know of."""
        if not isinstance(data, dict) or not data.get("objectives"):
            return data
        given = data["objectives"]
        if "objective" in data:
            fail("search", ("objectives",), "there is objective as well: write either", given)
        if not isinstance(given, list):
            return data
        first = given[0].get("name") if isinstance(given[0], dict) else getattr(given[0], "name", given[0])
        return {**data, "objective": {"metric": first}} if first in reported_names() else data

    @field_validator("objectives")
    @classmethod
    def _different(cls, objectives: list[Component[BaseObjective]]) -> list[Component[BaseObjective]]:
        names = [component.name for component in objectives]
        for index, name in enumerate(names):
            if name in names[:index]:
                fail("objectives", (index,), "is there already", name)
        if names and names[0] not in reported_names():
            wanted = (
                f"comes first, and trials report and are pruned by the first: begin with one of {', '.join(reported_names())}"
            )
            fail("objectives", (0,), wanted, names[0])
        return objectives

    @field_validator("constraints", mode="before")
    @classmethod
    def _known(cls, constraints: object) -> object:
        for name, written in constraints.items() if isinstance(constraints, dict) else ():
            if name not in OBJECTIVES:
                names = sorted(OBJECTIVES)
                told = f"no such objective; {nearest(name, names)}valid are {', '.join(names)}"
                fail("constraints", (name,), told, written)
        return constraints

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
        if len(self.objectives) > 1 and not has_trait(self.sampler, "multi_objective"):
            able = ", ".join(name for name, cls in sorted(SAMPLERS.items()) if getattr(cls, "multi_objective", False))
            told = f"learns from one objective, and there are {len(self.objectives)}: valid are {able}"
            fail("search", ("sampler",), told, self.sampler.name)
        endless = next((name for name, parameter in self.space.items() if parameter.points() is None), None)
        if has_trait(self.sampler, "exhaustive") and endless is not None:
            fail("search", ("sampler",), f"tries every point of a space, and {endless} has no step: it has endless ones", None)
        return self

    @model_validator(mode="after")
    def _limits(self) -> SearchSpec:
        if self.constraints:
            texts = {limit.name: limit.text for limit in self.limits()}
            self.constraints.update(texts)  # written one way, so that a resumed search is not another for want of a space
        return self

    def given(self) -> dict[str, Any]:
        """The data of a search file that resolves to this search; keys of features that it does not use are left out."""
        data = self.model_dump(by_alias=True)
        del data["objective" if self.objectives else "objectives"]
        if not self.constraints:
            del data["constraints"]
        if self.stop_when is None:
            del data["stop_when"]
        if self.resources.priority == 1:
            del data["resources"]["priority"]
        return data

    def goals(self) -> list[Goal]:
        """The objectives, the first of them first."""
        return [goal_of(component) for component in self.objectives or [self._component(self.objective.metric)]]

    def limits(self) -> list[Limit]:
        """The constraints.

        Raises:
            ValidationError: If one is none.
        """
        found = []
        for name, written in self.constraints.items():
            component = self._component(name)
            try:
                found.append(parse_limit(goal_of(component), component.build(), written))
            except ValueError as error:
                fail("search", ("constraints", name), str(error), written)
        return found

    def measured(self) -> list[Component[BaseObjective]]:
        """What is measured of a trial's network for objectives and constraints."""
        components = [*self.objectives, *(self._component(name) for name in self.constraints)]
        different = {component.name: component for component in components}
        return [component for component in different.values() if isinstance(component.build(), MeasuredObjective)]

    def _component(self, name: str) -> Component[BaseObjective]:
        """An objective by name, with its options where it is one of several."""
        found = next((component for component in self.objectives if component.name == name), None)
        return found or Component("name", name, {}, OBJECTIVES[name])
