"""Objectives by name: numbers that a trial is judged by, or held to by a constraint.

To add one: a class under ``@OBJECTIVES.register("name")`` in a module beside this file, found by itself. It is a subclass of

- `ReportedObjective` if every report of a training has a metric of that name: its value is that of the last report. Trials can be
  pruned by it, so it can be a search's first objective;
- `MeasuredObjective` if it is measured once, of the trained network.

Its constructor's arguments are its options in a search file. Class attributes say which way is better and how it is written.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import nn

from rebnn_search.base.registry import Registry
from rebnn_search.config import Component
from rebnn_search.export import ModelInfo
from rebnn_search.study.ranking import Ordering

Direction = Literal["minimize", "maximize"]


class BaseObjective:
    """What a trial is judged by."""

    direction: ClassVar[Direction] = "minimize"
    """Which way is better."""
    unit: ClassVar[str] = ""
    """Of its values, as a column's heading shows it."""
    units: ClassVar[Mapping[str, float]] = {"": 1.0}
    """Units that a constraint may be written in, and what one of each is in values; ``""`` for a number alone."""
    least: ClassVar[float] = -math.inf
    """No value is less."""
    most: ClassVar[float] = math.inf
    """No value is more."""
    form: ClassVar[str] = ".4g"
    """How a value is written."""

    def heading(self, name: str) -> str:
        """What a column of its values is called."""
        return f"{name.replace('_', ' ')} ({self.unit})" if self.unit else name.replace("_", " ")


class ReportedObjective(BaseObjective):
    """A metric of every report, by its own name."""


class Share(ReportedObjective):
    """A metric in percent, more of which is better. A constraint is written with its sign, ``>= 90 %``, or as a share, ``>= 0.9``."""

    direction = "maximize"
    unit = "%"
    units: ClassVar[Mapping[str, float]] = {"%": 1.0, "": 100.0}
    least = 0.0
    most = 100.0
    form = ".2f"


@dataclass(frozen=True)
class MeasuredNetwork:
    """A trained network to be measured.

    Attributes:
        network: On the CPU and in evaluation mode; not the one that trains, so it may be changed.
        info: What it was trained as and on.
        packed: The content of its packed model file.
    """

    network: nn.Module
    info: ModelInfo
    packed: bytes


class MeasuredObjective(BaseObjective, ABC):
    """A number that is measured of the trained network."""

    static: ClassVar[bool] = False
    """Whether the recipe alone decides it: it is then known at the first report, and a trial that it makes infeasible ends there."""

    def check(self) -> None:
        """See that it can be measured on this machine, before a search begins.

        Raises:
            ValueError: If something is missing; the message says what.
        """

    @abstractmethod
    def measure(self, model: MeasuredNetwork) -> float:
        """The value, a finite number.

        Raises:
            UserError: If it cannot be measured; the trial fails with that message.
        """


OBJECTIVES: Registry[BaseObjective] = Registry("objective")
"""Objectives by name."""


def reported_names() -> list[str]:
    """The names of those that every report has."""
    return sorted(name for name, cls in OBJECTIVES.items() if issubclass(cls, ReportedObjective))


@dataclass(frozen=True)
class Goal:
    """An objective as a search has it.

    Attributes:
        name: Its registered name, and that of its values among a trial's metrics.
        direction: Which way is better.
        heading: Of a column of its values.
        form: How a value is written.
        measured: Whether it is measured of the trained network; else every report has it.
        static: Whether the recipe alone decides it.
    """

    name: str
    direction: Direction
    heading: str
    form: str
    measured: bool = False
    static: bool = False

    @property
    def minimize(self) -> bool:
        """Whether less is better."""
        return self.direction == "minimize"

    def sort_key(self, value: float | None) -> float:
        """A number that is the smaller, the better the value; no value is worse than any."""
        return Ordering(self.direction).sort_key(value)

    def text(self, value: float | None) -> str:
        """A value in words; nothing where there is none."""
        return "" if value is None else format(value, self.form)


def goal_of(component: Component[BaseObjective]) -> Goal:
    """What a search needs to know of an objective."""
    objective = component.build()
    return Goal(
        component.name,
        objective.direction,
        objective.heading(component.name),
        objective.form,
        isinstance(objective, MeasuredObjective),
        isinstance(objective, MeasuredObjective) and objective.static,
    )
