"""The searcher's pictures, by Optuna's own plotting from a study made of the tracked runs."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import optuna
from optuna.trial import TrialState

from rebnn_search.report.figures.base import STYLE, TRIAL_MARK, WIDTH, legend, objective_label
from rebnn_search.report.figures.base import figure as drawn_as
from rebnn_search.report.importance import common_parameters
from rebnn_search.report.strategies import colours, label_of
from rebnn_search.report.study import study_of
from rebnn_search.report.tracked import TrackedSearch

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

_STUDIES: WeakKeyDictionary[TrackedSearch, optuna.Study] = WeakKeyDictionary()


def _drawn(
    search: TrackedSearch, draw: Callable[[optuna.Study], object], size: tuple[float, float], least: int = 1
) -> Drawing | None:
    """Draw a study's picture; None if fewer trials than ``least`` were trained to their end, or they are all alike."""
    import matplotlib as mpl
    import matplotlib.pyplot as plt
    import numpy as np

    study = _study(search)
    complete = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    if len(complete) < least or (least > 1 and len({trial.value for trial in complete}) < 2):
        return None
    others = plt.get_fignums()
    try:
        with mpl.rc_context(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Optuna's plots are experimental, and choose a style of their own
            found: Any = draw(study)  # axes, or an array of them
    finally:
        for number in set(plt.get_fignums()).difference(others):
            plt.close(number)
    axes = np.atleast_1d(found)
    figure: Drawing = axes.flat[0].figure
    figure.suptitle("")
    figure.set_facecolor("white")
    figure.set_size_inches(*size)
    figure.set_layout_engine("constrained")
    for axis in figure.axes:
        _restyle(axis)
    return figure


def _restyle(axis: Axes) -> None:
    axis.set_facecolor("white")
    axis.grid(visible=True, color="#b0b0b0", alpha=0.3, linewidth=0.5)
    for place in ("left", "center", "right"):
        axis.set_title("", loc=place)
    if axis.get_xscale() == "log":
        axis.xaxis.set_minor_formatter("")
    for text in (axis.xaxis.label, axis.yaxis.label):
        text.set_fontsize(STYLE["axes.labelsize"])
        text.set_color("black")
    axis.tick_params(labelsize=STYLE["xtick.labelsize"], colors="black")
    if (its := axis.get_legend()) is not None:
        for text in its.get_texts():
            text.set_fontsize(STYLE["legend.fontsize"])


def _study(search: TrackedSearch) -> optuna.Study:
    # Several pictures are made of one study.
    if search not in _STUDIES:
        _STUDIES[search] = study_of(search)
    return _STUDIES[search]


@drawn_as("parallel_coordinates", "Parallel coordinates", "Trials trained to their end.", place=70)
def parallel_coordinates(search: TrackedSearch) -> Drawing | None:
    """Each trial as a line through its hyperparameters."""
    from optuna.visualization import matplotlib as plots

    def draw(study: optuna.Study) -> object:
        return plots.plot_parallel_coordinate(study, params=common_parameters(search), target_name=objective_label(search))

    if len(common_parameters(search)) < 2:
        return None
    return _drawn(search, draw, (WIDTH, 3.4), least=2)


@drawn_as("slice", "Slices", "Objective over each hyperparameter.", place=80)
def slices(search: TrackedSearch) -> Drawing | None:
    """The objective over each hyperparameter."""
    from optuna.visualization import matplotlib as plots

    figure = _drawn(search, lambda study: plots.plot_slice(study, target_name=objective_label(search)), (WIDTH, 3.0), least=2)
    if figure is not None and search.minimize:
        for axis in figure.axes:
            if axis.get_ylabel() != "Trial":  # the colour bar
                axis.set_yscale("log")
    for axis in figure.axes if figure is not None else []:
        if axis.get_xscale() == "linear" and axis.get_ylabel() != "Trial":
            names = [text.get_text().strip("'") for text in axis.get_xticklabels()]
            axis.set_xticks(axis.get_xticks(), names, rotation=40, ha="right")
    return figure


@drawn_as("intermediate_values", "What the pruner saw", "Objective at each report.", place=50)
def intermediate_values(search: TrackedSearch) -> Drawing | None:
    """The curve that the pruner saw, of every trial; those it ended are dotted and end at a cross."""
    from optuna.visualization import matplotlib as plots

    labels = {f"Trial{trial.number}": label_of(search, trial) for trial in search.trials}
    pruned = {f"Trial{trial.number}" for trial in search.trials if trial.state == "PRUNED"}
    colour = colours(search)

    def draw(study: optuna.Study) -> object:
        axis = plots.plot_intermediate_values(study)
        for line in axis.get_lines():
            name = str(line.get_label())
            if name in labels:
                line.set_gid(f"{TRIAL_MARK}{name.removeprefix('Trial')}")
                line.set(color=colour[labels[name]], marker="", linewidth=0.9, alpha=0.8)
            if name in pruned:
                line.set(linestyle=":", marker="x", markevery=[-1], markersize=4)
        if (its := axis.get_legend()) is not None:
            its.remove()
        axis.set(xlabel="report (solid: trained to the end, dotted: pruned)", ylabel=objective_label(search))
        return axis

    figure = _drawn(search, draw, (WIDTH, 3.4))
    if figure is None:
        return None
    if search.minimize:
        figure.axes[0].set_yscale("log")
    from matplotlib.lines import Line2D

    legend(figure, [Line2D([], [], color=colour[name], label=name) for name in colour])
    return figure


@drawn_as("timeline", "Timeline", "When each trial ran and how it ended.", place=90)
def timeline(search: TrackedSearch) -> Drawing | None:
    """When each trial ran, and how it ended."""
    from optuna.visualization import matplotlib as plots

    return _drawn(search, plots.plot_timeline, (WIDTH, 3.4))
