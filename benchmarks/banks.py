"""Banks of recorded curves: configurations, each with what it reported when it was trained to its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from rebnn_search.base.metrics import VAL_LOSS, VAL_TOP1
from rebnn_search.execution.recorded import RecordedCurves
from rebnn_search.execution.simulated import RecordedReport
from rebnn_search.study.load import load_search
from rebnn_search.study.search import Search
from rebnn_search.study.space import Parameter, Space
from rebnn_search.study.spec import Params

HERE = Path(__file__).parent
Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

TASKSET_RANGES = {
    "learning_rate": (1e-8, 10.0), "one_minus_beta1": (1e-4, 1.0), "one_minus_beta2": (1e-6, 1.0), "epsilon": (1e-10, 1e3),
    "l1": (1e-8, 10.0), "l2": (1e-8, 10.0), "linear_decay": (1e-7, 1e-4), "exponential_decay": (1e-6, 1e-3),
}  # fmt: skip
"""From what TaskSet's configurations were drawn, log-uniformly (Metz et al. 2020, appendix)."""
EVALUATION_SECONDS = 60.0
"""What a TaskSet evaluation's training is taken to last: the data do not say."""


@dataclass(frozen=True)
class Bank:
    """Recorded trainings.

    Attributes:
        name: For tables.
        space: From which the configurations were drawn.
        configurations: The n configurations.
        values: (n, reports) objective at each report, less is better; NaN from where a training diverged on.
        seconds: (n, reports) what each report took.
        epochs: Of one report; for TaskSet an evaluation counts as one.
        base: The recipe's data that the configurations were laid over.
    """

    name: str
    space: Space
    configurations: list[Params]
    values: Floats
    seconds: Floats
    epochs: float
    base: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.configurations)

    @property
    def reports(self) -> int:
        """Of a training to its end."""
        return self.values.shape[1]

    @cached_property
    def final(self) -> Floats:
        """(n,) objective at the end; infinite where it diverged."""
        return np.where(np.isfinite(self.values[:, -1]), self.values[:, -1], np.inf)

    @property
    def best(self) -> int:
        """The configuration with the least objective at its end."""
        return int(np.argmin(self.final))

    @cached_property
    def curves(self) -> list[list[RecordedReport]]:
        """Each configuration's training, as the simulated executor delivers it."""
        return [self._curve(index) for index in range(len(self))]

    def _curve(self, index: int) -> list[RecordedReport]:
        curve = []
        for step, (value, seconds) in enumerate(zip(self.values[index], self.seconds[index], strict=True), start=1):
            if not np.isfinite(value):
                return [*curve, RecordedReport(float(seconds), (step - 1) * self.epochs, {}, "diverged: recorded so")]
            metrics = {VAL_LOSS: float(value), VAL_TOP1: 0.0}
            curve.append(RecordedReport(float(seconds), step * self.epochs, metrics))
        return curve

    @cached_property
    def _places(self) -> dict[frozenset[tuple[str, Any]], int]:
        return {frozenset(params.items()): index for index, params in enumerate(self.configurations)}

    def index(self, params: Mapping[str, Any]) -> int:
        """Which configuration this is."""
        return self._places[frozenset(params.items())]

    @cached_property
    def points(self) -> Floats:
        """(n, d) the configurations in a unit cube: see `point`."""
        return np.array([self.point(params) for params in self.configurations])

    def point(self, params: Mapping[str, Any]) -> Floats:
        """A configuration as (d,) numbers between which distances are taken: a range to [0, 1], its logarithm where it is searched by
        that; a choice to a unit vector over √2, so that two choices are 1 apart; of what a condition leaves out 0.
        """
        found: list[float] = []
        for name, parameter in self.space.parameters.items():
            if parameter.kind == "choice":
                chosen = [name in params and params[name] == choice for choice in parameter.choice or []]
                found += [float(one) / np.sqrt(2) for one in chosen]
                continue
            low, high = map(float, parameter.examples())
            value = float(params.get(name, low))  # type: ignore[arg-type]
            if parameter.kind.startswith("log"):
                low, high, value = np.log(low), np.log(high), np.log(value)
            found.append((value - low) / (high - low))
        return np.array(found)

    @cached_property
    def distributions(self) -> dict[str, BaseDistribution]:
        """Optuna's distribution of each parameter."""
        return {name: distribution(parameter) for name, parameter in self.space.parameters.items()}


def distribution(parameter: Parameter) -> BaseDistribution:
    """Optuna's distribution of a parameter."""
    if parameter.kind == "choice":
        return CategoricalDistribution(parameter.choice or [])
    bounds: list[Any] = parameter.examples()
    if parameter.kind in ("int", "log_int"):
        return IntDistribution(bounds[0], bounds[1], log=parameter.kind == "log_int", step=int(parameter.step or 1))
    return FloatDistribution(bounds[0], bounds[1], log=parameter.kind == "log_uniform", step=parameter.step)


def recorded(name: str, search: Search, file: Path, alike: str | None = None) -> Bank:
    """The bank of a search's table of curves (``rebnn-search curves``).

    Args:
        name: For tables.
        search: Whose space the configurations are of.
        file: The table.
        alike: A parameter that a report's duration depends on: each is taken to last the median of those with its value, since the
            machine that recorded them did other things too. None takes the times as they are.
    """
    curves = RecordedCurves.read(file, search.space)
    longest = max(len(curves(params)) for params in curves.configurations)
    values = np.full((len(curves), longest), np.nan)
    seconds = np.zeros((len(curves), longest))
    metric = search.spec.objective.metric
    sign = 1.0 if search.spec.objective.minimize else -1.0
    for row, params in enumerate(curves.configurations):
        for column, report in enumerate(curves(params)):
            values[row, column] = sign * report.metrics[metric] if report.failed is None else np.nan
            seconds[row, column] = report.seconds
    if alike is not None:
        values_of = np.array([params[alike] for params in curves.configurations])
        for value in np.unique(values_of):
            seconds[values_of == value] = np.median(seconds[values_of == value])
    epochs = 1 / float(search.base.get("reports_per_epoch", 4))
    return Bank(name, search.space, curves.configurations, values, seconds, epochs, search.base)


def digits() -> Bank:
    """ReBNN on handwritten digits: `benchmarks/curves/README.md` says how it was recorded."""
    return recorded(
        "digits", load_search(HERE / "curves" / "digits.yaml"), HERE / "curves" / "digits.csv.gz", alike="batch_size"
    )


def taskset(path: str | Path) -> list[Bank]:
    """The tasks of a TaskSet file: 1,000 Adam configurations, 50 evaluations of the validation loss each.

    Args:
        path: ``taskset.npz``, or the folder that holds it: ``hp`` (n, 8) with ``hp_names``; ``tasks``; for each ``valid/TASK``
            (n, 51), whose first column was evaluated before training and is left out.
    """
    file = Path(path) / "taskset.npz" if Path(path).is_dir() else Path(path)
    with np.load(file) as data:
        columns = {str(name): data["hp"][:, place] for place, name in enumerate(data["hp_names"])}
        tasks = {str(task): data[f"valid/{task}"][:, 1:].astype(float) for task in data["tasks"]}
    for beta in ("beta1", "beta2"):
        columns[f"one_minus_{beta}"] = 1 - columns[beta]
    space = Space({name: Parameter(log_uniform=list(ends)) for name, ends in TASKSET_RANGES.items()})
    configurations: list[Params] = [
        {name: float(np.clip(columns[name][row], *ends)) for name, ends in TASKSET_RANGES.items()}
        for row in range(len(columns["epsilon"]))
    ]
    banks = []
    for task, values in tasks.items():
        diverged = np.logical_or.accumulate(~np.isfinite(values), axis=1)
        sound = np.where(diverged, np.nan, values)
        banks.append(Bank(task, space, configurations, sound, np.full(sound.shape, EVALUATION_SECONDS), 1.0, {}))
    return banks
