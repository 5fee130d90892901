"""What the rows and curves of the paper's table and figures are called, in which order and which colour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rebnn_search.base.metrics import final
from rebnn_search.report.tracked import TrackedSearch, TrackedTrial
from rebnn_search.study.estimate import Estimate, estimate

ZERO = "γ = 0"
CONSTANT = "γ constant"
"""Any but 0, of a search that draws γ from an interval: each trial has another."""
REBNN = "Eq. (3.150)"
REACTNET = "ReActNet"
RECU = "ReCU"
BINARIZERS: Mapping[str, str] = {"reactnet": REACTNET, "recu": RECU, "irnet": "IR-Net", "reste": "ReSTE", "biper": "BiPer"}
"""Weight binarizers that have a name of their own in papers."""

COLOURS: Mapping[str, str] = {
    # Okabe and Ito's palette, told apart with every common colour blindness; the constants are one blue, darker as γ grows.
    ZERO: "#9ecae1", "γ = 1e-5": "#6baed6", "γ = 1e-4": "#4292c6", "γ = 1e-3": "#2171b5", "γ = 1e-2": "#08306b",
    CONSTANT: "#2171b5", "max |G|": "#E69F00", REBNN: "#D55E00", "published code": "#CC79A7", REACTNET: "#000000",
    RECU: "#009E73", "IR-Net": "#A65628", "ReSTE": "#F0E442", "BiPer": "#984EA3", "sign": "#8c8c8c",
}  # fmt: skip
OTHERS = ("#56B4E9", "#882255", "#44AA99", "#999933", "#0072B2")
"""Colours of a search's strategies that the table does not know, in the order of their names."""


def label(weights: str, strategy: str | None, value: float | None) -> str:
    """What a trial's method is called."""
    if weights != "rebnn":
        return BINARIZERS.get(weights, weights)
    if strategy == "constant":
        return f"γ = {_power(value or 0.0)}"
    return {"flip_ratio": REBNN, "max_gradient": "max |G|", "published_code": "published code"}.get(
        strategy or "", str(strategy)
    )


def _power(value: float) -> str:
    """A number as in ``1e-4``, ``2.5e-4`` or ``0``."""
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def colours(search: TrackedSearch) -> dict[str, str]:
    """A colour for each strategy of a search, in the table's order: the same one in every figure."""
    labels = sorted({label_of(search, trial) for trial in search.trials}, key=order)
    unknown = [name for name in labels if name not in COLOURS]
    return {name: COLOURS.get(name) or OTHERS[unknown.index(name) % len(OTHERS)] for name in labels}


@dataclass(frozen=True)
class Method:
    """One strategy at its best configuration: the trials of it that were trained to their end.

    Attributes:
        configurations: How many configurations of the strategy were trained to their end; with more than one, ``trials`` are
            the best one's, and comparing them favours the strategy that was tried more often.
    """

    label: str
    trials: list[TrackedTrial]
    configurations: int

    def estimate(self, metric: str) -> Estimate | None:
        """The mean over seeds of a metric's final value."""
        return estimate([trial.metrics[final(metric)] for trial in self.trials if final(metric) in trial.metrics])


def methods(search: TrackedSearch) -> list[Method]:
    """Every strategy that a trial was trained to its end with, within the constraints, in the table's order."""
    found: dict[str, dict[int, list[TrackedTrial]]] = {}
    for trial in search.feasible:
        found.setdefault(label_of(search, trial), {}).setdefault(trial.configuration, []).append(trial)
    return [Method(name, _best(search, found[name]), len(found[name])) for name in sorted(found, key=order)]


def order(name: str) -> tuple[int, str]:
    """What labels are sorted by: the table's rows first."""
    known = list(COLOURS)
    return known.index(name) if name in known else len(known), name


def label_of(search: TrackedSearch, trial: TrackedTrial) -> str:
    """What a trial's method is called."""
    values: dict[str, Any] = search.recipe_values(trial, ["weights.name", "gamma.strategy", "gamma.value"])
    found, searched = label(*values.values()), search.search.space.parameters.get("gamma.value")
    one_of_many = values["gamma.strategy"] == "constant" and searched is not None and searched.kind != "choice"
    return CONSTANT if one_of_many and found != ZERO else found


def _best(search: TrackedSearch, configurations: dict[int, list[TrackedTrial]]) -> list[TrackedTrial]:
    ranked = search.ranked(trial for trials in configurations.values() for trial in trials)
    best = set(ranked[0])
    return next(trials for trials in configurations.values() if trials[0].number in best)
