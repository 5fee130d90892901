"""The report: one HTML file that needs nothing else, with the tables, the pictures and how to do it again."""

from __future__ import annotations

import html
import io
import re
from collections import Counter
from collections.abc import Mapping
from importlib.resources import files
from typing import TYPE_CHECKING

from rebnn_search.base.layout import BEST_RECIPE_FILE, SEARCH_FILE
from rebnn_search.base.metrics import (
    CHOSEN_TEST_TOP1,
    CHOSEN_TRIAL,
    CORE_HOURS,
    EPOCHS,
    FLIP_RATIO,
    GPU_HOURS,
    VAL_LOSS,
    VAL_TOP1,
    VAL_TOP5,
    final,
)
from rebnn_search.execution.data_seen import DATA_TAG
from rebnn_search.report import table as paper_table
from rebnn_search.report.answers import answers
from rebnn_search.report.answers.base import objective, written
from rebnn_search.report.configurations import Configuration, configurations
from rebnn_search.report.figures import FIGURES, TRIAL_MARK, Figure
from rebnn_search.report.tracked import TrackedSearch, TrackedTrial
from rebnn_search.study.ranking import STATES
from rebnn_search.study.result import COLUMNS
from rebnn_search.study.table import FRONT, HEADINGS, ON_FRONT, value

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

THEME: Mapping[str, str] = {
    "#000000": "currentColor", "#ffffff": "var(--paper)", "#b0b0b0": "var(--grid)", "#9ecae1": "var(--blue-1)",
    "#6baed6": "var(--blue-2)", "#4292c6": "var(--blue-3)", "#2171b5": "var(--blue-4)", "#08306b": "var(--blue-5)",
}  # fmt: skip
"""Colours of pictures that the page has two of, for light and dark: ink and paper, and the blues, which paper would swallow."""
LEAST_SCALE, MOST_SCALE = 1.15, 1.55
"""Pixels a point: no picture is drawn smaller, so that a telephone shows its text and lets it be pushed aside, and none larger."""


def render(search: TrackedSearch, drawn: Mapping[str, Drawing]) -> str:
    """The page of a search with its drawn figures."""
    from jinja2 import Environment
    from markupsafe import Markup

    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(files("rebnn_search.report").joinpath("page.html.j2").read_text(encoding="utf-8"))
    rows = paper_table.table(search)
    rows_of_trials = leaderboard(search)
    states = Counter(trial.state for trial in search.trials)
    chosen = next(iter(configurations(search)), None)
    # Of a search that was enlarged since, and has not come to an end again, the run has an earlier one's.
    own = chosen is not None and chosen.holds(search.parent.data.metrics.get(CHOSEN_TRIAL))
    return template.render(
        name=search.name,
        state=search.parent.data.tags.get("state", ""),
        view=search.view,
        compare=search.compare,
        stats=_stats(search, states, chosen),
        recipe=search.artifact(search.parent.info.run_id, BEST_RECIPE_FILE) if own else None,
        answers=answers(search),
        titles={figure.name: figure.title for figure in FIGURES if figure.name in drawn},
        mistakes=mistaken_rows(search),
        leaderboard=rows_of_trials,
        states=Counter(row[-1][0] for row in rows_of_trials).most_common(),
        numbers=[row[1 if _several(search) else 0][1] for row in rows_of_trials],
        headings=leaderboard_headings(search),
        table_headings=paper_table.HEADINGS,
        table_rows=[paper_table.cells(row) for row in rows],
        notes=paper_table.notes(search),
        figures=[(f.name, f.title, f.caption, Markup(svg(drawn[f.name], f))) for f in FIGURES if f.name in drawn],  # noqa: S704 - drawn here
        reasons=Counter(f"{t.state}: {t.reason}" for t in search.trials if t.reason).most_common(),
        epochs=_epochs(search),
        several=_several(search),
        front=front_rows(search),
        constraints=[str(limit) for limit in search.search.limits],
        broken=broken_rows(search),
        history=search.history,
        data=search.parent.data.tags.get(DATA_TAG, "").splitlines(),
        resolved=search.artifact(search.parent.info.run_id, SEARCH_FILE),
    )


def _stats(search: TrackedSearch, states: Counter[str], chosen: Configuration | None) -> list[tuple[str, str]]:
    metrics = search.parent.data.metrics
    found = [("trials", str(len(search.trials)))]
    found += [(name.lower(), str(states[name])) for name in STATES if states[name]]
    if chosen is not None:
        found.append((f"{objective(search)} of the chosen", written(search, chosen.mean)))
    if chosen is not None and chosen.holds(metrics.get(CHOSEN_TRIAL)) and CHOSEN_TEST_TOP1 in metrics:
        found.append(("test Top-1 of the chosen", f"{metrics[CHOSEN_TEST_TOP1]:.2f} %"))
    for label, name in (("core-hours", CORE_HOURS), ("GPU-hours", GPU_HOURS)):
        if metrics.get(name):
            found.append((label, f"{metrics[name]:.3g}"))
    return found


def _epochs(search: TrackedSearch) -> tuple[float, float]:
    """Epochs trained, and epochs that training every trial to its end would have taken."""
    trained = sum(trial.metrics.get(final(EPOCHS), 0.0) for trial in search.trials)
    return trained, sum(search.search.epochs_of(trial.params) for trial in search.trials)


def leaderboard_headings(search: TrackedSearch) -> list[str]:
    """The leaderboard's column headings."""
    names = [HEADINGS.get(name, name) for name in _names(search)]
    extras = [goal.heading for goal in search.search.extras]
    return [*([FRONT] if _several(search) else []), "trial", *(["seed"] if search.search.spec.seeds > 1 else []), *names,
            "val loss", "Top-1 (%)", "Top-5 (%)", *extras, "flip ratio", "epochs", "state"]  # fmt: skip


def leaderboard(search: TrackedSearch) -> list[list[tuple[str, object]]]:
    """The rows, best first: texts with what they are sorted by."""
    trials = {trial.number: trial for trial in search.trials}
    return [_row(search, trials[number]) for group in search.ranked(search.trials) for number in group]


def _names(search: TrackedSearch) -> list[str]:
    return list(dict.fromkeys((*COLUMNS, *search.search.space)))


def _row(search: TrackedSearch, trial: TrackedTrial) -> list[tuple[str, object]]:
    metrics = trial.metrics
    values = search.recipe_values(trial, _names(search))
    on_front = trial.number in search.front
    cells: list[tuple[str, object]] = [(ON_FRONT if on_front else "", int(not on_front))] if _several(search) else []
    cells.append((f"#{trial.number}", trial.number))
    if trial.seed is not None:
        cells.append((str(trial.seed), trial.seed))
    cells += [(value(item), item if item is not None else "") for item in values.values()]
    extras = [(goal.name, goal.form) for goal in search.search.extras]
    for name, form in ((VAL_LOSS, ".4f"), (VAL_TOP1, ".2f"), (VAL_TOP5, ".2f"), *extras, (FLIP_RATIO, ".2e"),
                       (EPOCHS, ".4g")):  # fmt: skip
        found = metrics.get(final(name))
        cells.append(("", "") if found is None else (format(found, form), found))
    ended = trial.state in ("COMPLETE", "PRUNED")
    state = "INFEASIBLE" if ended and search.infeasible(trial) is not None else trial.state
    return [*cells, (state, state)]


def _several(search: TrackedSearch) -> bool:
    return len(search.search.goals) > 1


def front_rows(search: TrackedSearch) -> list[str]:
    """The points of the Pareto front in words, by the first objective."""
    trials = {trial.number: trial for trial in search.trials}
    ordered = [number for group in search.ranked(search.trials) for number in group if number in search.front]
    rows = []
    for number in ordered:
        values = search.values(trials[number])
        rows.append(
            f"#{number}: " + ", ".join(f"{goal.heading} {goal.text(values[goal.name])}" for goal in search.search.goals)
        )
    return rows


def broken_rows(search: TrackedSearch) -> list[str]:
    """The trials that broke a constraint, and how."""
    found = [(trial.number, search.infeasible(trial)) for trial in search.trials]
    return [f"#{number}: {broken}" for number, broken in found if broken is not None]


def mistaken_rows(search: TrackedSearch) -> list[list[str]]:
    """The rows of a table that the chosen network is most wrong about, below their headings; nothing of pictures."""
    known = search.evaluation
    found = [] if known is None else [one for one in known.mistakes if one.row]
    if known is None or not found:
        return []
    columns = list(found[0].row)
    rows = [["row", "class", "taken for", "with", *columns]]
    for one in found:
        texts = (one.row.get(name, "") for name in columns)
        taken = known.classes[one.predicted], f"{100 * one.probability:.0f} %"
        rows.append([str(one.index), known.classes[one.label], *taken, *texts])
    return rows


def svg(drawn: Drawing, figure: Figure) -> str:
    """A figure as SVG to stand inside a page: no prologue, names of its parts its own, in the page's colours."""
    file = io.StringIO()
    drawn.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    text = text[text.index("<svg") :]
    # Parts are referred to by name, and every figure of a page has the same ones.
    for mark in ('id="', 'href="#', "url(#"):
        text = text.replace(mark, f"{mark}{figure.name}-")
    text = re.sub(rf'<g id="{figure.name}-{TRIAL_MARK}(\d+)">', r'<g class="trial" data-trial="\1">', text)
    for colour, ours in THEME.items():
        text = text.replace(f": {colour}", f": {ours}")
    points = drawn.get_size_inches()[0] * 72
    style = f"min-width: {LEAST_SCALE * points:.0f}px; max-width: {MOST_SCALE * points:.0f}px"
    return text.replace("<svg ", f'<svg role="img" aria-label="{html.escape(figure.title)}" style="{style}" ', 1)
