"""How often the weights of each binary layer change their sign, by epoch."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from rebnn_search.base.metrics import oscillation_name
from rebnn_search.report.statistics import Array
from rebnn_search.report.tracked import TrackedSearch, TrackedTrial


@dataclass(frozen=True)
class LayerFlips:
    """Of one trial.

    Attributes:
        layers: Names of its binary layers, in order.
        epochs: At which there is a value.
        ratios: (layers, epochs) share of the weights whose sign changes in a step, mean over the epoch.
    """

    layers: list[str]
    epochs: list[float]
    ratios: Array


def flips_by_layer(search: TrackedSearch, trial: TrackedTrial) -> LayerFlips | None:
    """The flip ratios of a trial; None where it tracked none."""
    layers = binary_layers_of(trial)
    curves = [by_epoch(search, trial, oscillation_name(f"{layer}/flip_ratio")) for layer in layers]
    epochs = sorted(set.intersection(*map(set, curves))) if curves else []
    if not epochs:
        return None
    return LayerFlips(layers, epochs, np.array([[curve[epoch] for epoch in epochs] for curve in curves]))


def binary_layers_of(trial: TrackedTrial) -> list[str]:
    """The names of the binary layers that a trial has statistics of, in order."""
    found = {name.split("/")[1] for name in trial.metrics if re.match(oscillation_name(r"layer_\d+/"), name)}
    return sorted(found, key=layer_number)


def layer_number(layer: str) -> int:
    """The place of a binary layer among those of its network, from 0, by its name in metrics."""
    return int(layer.rpartition("_")[2])


def by_epoch(search: TrackedSearch, trial: TrackedTrial, metric: str) -> dict[float, float]:
    """A metric's mean over the reports of each epoch."""
    found: dict[float, list[float]] = {}
    for step, value in search.series(trial, metric):
        found.setdefault(float(np.ceil(step * trial.epochs_per_report - 1e-6)), []).append(value)
    return {epoch: float(np.mean(values)) for epoch, values in found.items()}
