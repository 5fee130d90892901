"""The search space: which dotted names of a recipe vary, over what, and when.

A space is an ordered mapping from names (``optimizer.lr``) to parameters. `Space.suggest` walks it define-by-run, so that a
conditional parameter is asked of the sampler only where its condition holds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, Protocol

from pydantic import Field, model_validator

from rebnn_search.config import Strict, fail

Value = str | int | float | bool | None
Kind = Literal["uniform", "log_uniform", "int", "log_int", "choice"]
KINDS: tuple[Kind, ...] = ("uniform", "log_uniform", "int", "log_int", "choice")
PARTS = frozenset({*KINDS, "step", "when"})
"""Keys of a parameter."""
HOW = "a parameter is a mapping of its kind to its values"
MANY = 1_000_000
"""Points beyond which a space counts as endless."""
LARGEST = 1e15
"""Of the ends of a range of whole numbers: up to there they are exact as floating-point ones too."""
SHOWN = 30
"""Choices that a message lists."""


class Suggests(Protocol):
    """The part of `optuna.trial.Trial` that a space asks."""

    def suggest_float(self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False) -> float:
        """Return a real number between the ends, both included."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """Return a whole number between the ends, both included."""

    def suggest_categorical(self, name: str, choices: list[Any]) -> Any:
        """Return one of the choices."""


class Parameter(Strict):
    """One varying value. Exactly one of the five kinds is given; ranges include both ends.

    Attributes:
        uniform: ``[low, high]`` of real numbers.
        log_uniform: ``[low, high]`` of positive real numbers, uniform in the logarithm.
        int_: ``[low, high]`` of whole numbers (``int`` in a file).
        log_int: ``[low, high]`` of positive whole numbers, uniform in the logarithm.
        choice: The values to choose from.
        step: Grid of ``uniform`` or ``int``.
        when: Values other parameters must have for this one to exist: one value or a list of them for each name.
    """

    uniform: list[float] | None = None
    log_uniform: list[float] | None = None
    int_: list[int] | None = Field(default=None, alias="int")
    log_int: list[int] | None = None
    choice: list[Any] | None = None
    step: float | None = None
    when: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _is_one(cls, data: object) -> object:
        """Say how a parameter is written to whoever gives a bare list, or nests what has a dotted name."""
        if isinstance(data, (list, str, int, float)):
            fail("parameter", (), f"{HOW}: {{uniform: [0, 1]}}, {{choice: [adam, sgd]}}", data)
        for key, value in data.items() if isinstance(data, dict) else ():
            if key not in PARTS and isinstance(value, dict) and not value.keys().isdisjoint(KINDS):
                fail(
                    "parameter", (key,), f"{HOW}, and its name is one word with dots: optimizer.lr: {{uniform: [0, 1]}}", value
                )
        return data

    @model_validator(mode="after")
    def _check(self) -> Parameter:
        given = [kind for kind in KINDS if self._bounds(kind) is not None]
        if len(given) != 1:
            fail("parameter", (), f"needs exactly one of {', '.join(KINDS)}; has {', '.join(given) or 'none'}", None)
        kind = given[0]
        if kind == "choice":
            self._check_choice()
        else:
            self._check_range(kind)
        return self

    def _check_choice(self) -> None:
        values = self.choice or []
        if not values:
            fail("parameter", ("choice",), "has no values to choose from", values)
        seen: set[tuple[bool, Value]] = set()
        for index, value in enumerate(values):
            if value is not None and not isinstance(value, (str, int, float, bool)):
                fail("parameter", ("choice", index), "a choice must be a word, a number, true, false or null", value)
            if isinstance(value, float) and not math.isfinite(value):
                fail("parameter", ("choice", index), "a number must be finite", value)
            if (isinstance(value, bool), value) in seen:  # 1 and 1.0 are one value, and train the same
                fail("parameter", ("choice", index), "stands twice in the list", value)
            seen.add((isinstance(value, bool), value))
        if self.step is not None:
            fail("parameter", ("step",), "goes with uniform or int only", self.step)

    def _check_range(self, kind: Kind) -> None:
        bounds = self._bounds(kind) or []
        if len(bounds) != 2:
            fail("parameter", (kind,), f"must be [low, high], not {bounds}", bounds)
        low, high = bounds
        if kind in ("int", "log_int") and max(abs(low), abs(high)) > LARGEST:
            fail("parameter", (kind,), f"the ends must be within ±{LARGEST:.0e}", bounds)
        if not (math.isfinite(low) and math.isfinite(high)):
            fail("parameter", (kind,), f"the ends of [{low}, {high}] must be finite", bounds)
        if low >= high:
            fail("parameter", (kind,), f"low must be below high, not [{low}, {high}]", bounds)
        if kind.startswith("log_") and low <= 0:
            fail("parameter", (kind,), f"a log range must stay above 0, not [{low}, {high}]", bounds)
        if self.step is not None:
            if kind not in ("uniform", "int"):
                fail("parameter", ("step",), "goes with uniform or int only", self.step)
            if not 0 < self.step <= high - low or (kind == "int" and self.step != int(self.step)):
                fail("parameter", ("step",), f"must be above 0 and at most {high - low}, whole for int", self.step)

    def _bounds(self, kind: Kind) -> list[Any] | None:
        return {
            "uniform": self.uniform, "log_uniform": self.log_uniform, "int": self.int_, "log_int": self.log_int,
            "choice": self.choice,
        }[kind]  # fmt: skip

    @property
    def kind(self) -> Kind:
        """Which of the five kinds this is."""
        return next(kind for kind in KINDS if self._bounds(kind) is not None)

    def suggest(self, trial: Suggests, name: str) -> Value:
        """Ask the trial's sampler for a value."""
        kind = self.kind
        if kind == "choice":
            value: Value = trial.suggest_categorical(name, self.choice or [])
            return value
        low, high = self._bounds(kind) or (0, 0)
        if kind in ("int", "log_int"):
            return trial.suggest_int(name, low, high, step=int(self.step or 1), log=kind == "log_int")
        return self.canonical(trial.suggest_float(name, float(low), float(high), step=self.step, log=kind == "log_uniform"))

    def contains(self, value: object) -> bool:
        """Whether the parameter could take this value."""
        kind = self.kind
        if kind == "choice":
            return any(_same(value, choice) for choice in self.choice or [])
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        low, high = self._bounds(kind) or (0, 0)
        if not low <= value <= high or (kind in ("int", "log_int") and value != int(value)):
            return False
        steps = (value - low) / self.step if self.step else 0.0
        return bool(abs(steps - round(steps)) < 1e-9)

    def canonical(self, value: Any) -> Value:
        """The value as the parameter's own type: a choice as it stands in the list, a whole number for an int range, and of steps the
        number that their decimals come to: 0.3, not 3 · 0.1.
        """
        if self.kind == "choice":
            chosen: Value = next(choice for choice in self.choice or [] if _same(value, choice))
            return chosen
        if self.uniform is not None and self.step is not None:
            low, step = Decimal(str(self.uniform[0])), Decimal(str(self.step))
            return float(low + round((Decimal(str(value)) - low) / step) * step)
        return int(value) if self.kind in ("int", "log_int") else float(value)

    def grid(self) -> list[Value] | None:
        """Every value of a choice, an ``int`` or a range in steps; None for a range without. `points` counts them without a list."""
        if self.kind == "choice":
            return list(self.choice or [])
        points, (low, _) = self.points(), self._bounds(self.kind) or (0, 0)
        step = self.step or 1
        return None if points is None else [self.canonical(low + index * step) for index in range(points)]

    def points(self) -> int | None:
        """How many values there are: of a choice, an ``int`` or a range in steps; None for a range without."""
        if self.kind == "choice":
            return len(self.choice or [])
        low, high = self._bounds(self.kind) or (0, 0)
        step = self.step or (1 if self.kind in ("int", "log_int") else None)
        return None if step is None else int((high - low) / step + 1e-9) + 1

    def examples(self) -> list[Value]:
        """Values that between them meet every check a recipe could make: all choices, both ends of a range."""
        return list(self._bounds(self.kind) or [])

    def allowed(self) -> str:
        """What the parameter may be, in words for a message."""
        bounds = self._bounds(self.kind) or []
        if self.kind == "choice":
            shown = ", ".join(map(repr, bounds[:SHOWN]))
            return f"one of {shown}" + (f" and {len(bounds) - SHOWN} more" if len(bounds) > SHOWN else "")
        return f"{self.kind} [{bounds[0]}, {bounds[1]}]" + (f" in steps of {self.step}" if self.step else "")


def _same(a: object, b: object) -> bool:
    # 1 == True in Python; in a file they are different values. 0 and 0.0 are the same number.
    return isinstance(a, bool) == isinstance(b, bool) and bool(a == b)


@dataclass(frozen=True)
class Space:
    """The parameters of a search, parents before those that depend on them."""

    parameters: Mapping[str, Parameter]

    def __iter__(self) -> Iterator[str]:
        return iter(self.parameters)

    def is_active(self, name: str, values: Mapping[str, Value]) -> bool:
        """Whether a parameter exists where its parents have the given values."""
        for parent, wanted in self.parameters[name].when.items():
            if parent not in values or not any(_same(values[parent], w) for w in as_list(wanted)):
                return False
        return True

    def suggest(self, trial: Suggests) -> dict[str, Value]:
        """Ask a trial for every parameter whose condition holds, parents first."""
        values: dict[str, Value] = {}
        for name, parameter in self.parameters.items():
            if self.is_active(name, values):
                values[name] = parameter.suggest(trial, name)
        return values

    def size(self) -> int | None:
        """How many points the space has, conditions considered; None if a parameter has no grid.

        Only what others depend on is written out; where that alone has too many values, as many at the least.
        """
        points = {name: parameter.points() for name, parameter in self.parameters.items()}
        if None in points.values():
            return None
        asked = {parent for parameter in self.parameters.values() for parent in parameter.when}
        values: list[dict[str, Value]] = [{}]
        for name in (name for name in self.parameters if name in asked):
            here: list[dict[str, Value]] = []
            elsewhere: list[dict[str, Value]] = []
            for known in values:
                (here if self.is_active(name, known) else elsewhere).append(known)
            if len(here) * (points[name] or 0) + len(elsewhere) > MANY:
                return len(here) * (points[name] or 0) + len(elsewhere)
            grid = self.parameters[name].grid() or []
            values = [{**known, name: item} for known in here for item in grid] + elsewhere
        others = [name for name in self.parameters if name not in asked]
        return sum(math.prod(points[name] or 0 for name in others if self.is_active(name, known)) for known in values)

    def example_with(self, name: str, value: Value) -> dict[str, Value]:
        """Return an assignment in which a parameter exists and has a value, the others their first possible one."""
        wanted = self.requirements(name)
        wanted[name] = [value]
        values: dict[str, Value] = {}
        for other, parameter in self.parameters.items():
            if self.is_active(other, values):
                values[other] = parameter.canonical(wanted[other][0]) if other in wanted else parameter.examples()[0]
        return values

    def requirements(self, name: str) -> dict[str, list[Value]]:
        """The values its ancestors must have for a parameter to exist: an empty list where none would do."""
        wanted: dict[str, list[Value]] = {}
        queue = [name]
        while queue:
            for parent, given in self.parameters[queue.pop()].when.items():
                values = [value for value in as_list(given) if self.parameters[parent].contains(value)]
                if parent in wanted:
                    wanted[parent] = [v for v in wanted[parent] if any(_same(v, w) for w in values)]
                else:
                    wanted[parent] = values
                    queue.append(parent)
        return wanted


def as_list(value: object) -> list[Any]:
    """A condition's values as a list."""
    return value if isinstance(value, list) else [value]


def build_space(parameters: Mapping[str, Parameter]) -> Space:
    """Order parameters parents first and check every condition.

    Raises:
        pydantic.ValidationError: At the condition that names no parameter, goes in a circle, or can never hold.
    """
    for name, parameter in parameters.items():
        for parent, wanted in parameter.when.items():
            if parent not in parameters:
                message = f"is no parameter of this space; those are {', '.join(parameters)}"
                fail("space", (name, "when", parent), message, wanted)
            for value in as_list(wanted):
                if not parameters[parent].contains(value):
                    message = f"can never hold: {parent} is {parameters[parent].allowed()}"
                    fail("space", (name, "when", parent), message, value)
            if wanted == []:
                fail("space", (name, "when", parent), "can never hold: no value is listed", wanted)
    ordered: dict[str, Parameter] = {}
    while len(ordered) < len(parameters):
        ready = (n for n, p in parameters.items() if n not in ordered and all(parent in ordered for parent in p.when))
        following = next(ready, None)
        if following is None:
            circle = next(n for n in parameters if n not in ordered)
            fail("space", (circle, "when"), "goes in a circle: the parameter depends on itself", None)
        ordered[following] = parameters[following]
    space = Space(ordered)
    for name in parameters:
        for parent, values in space.requirements(name).items():
            if not values:
                fail("space", (name, "when"), f"can never hold: it and its parents want different values of {parent}", None)
    return space
