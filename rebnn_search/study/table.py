"""The leaderboard as rows of text: one place that says how each value is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from rebnn_search.study.estimate import estimate
from rebnn_search.study.result import COLUMNS, Best, Result, TrialRow

HEADINGS = {"gamma.strategy": "γ-strategy", "gamma.value": "γ value", "optimizer.lr": "lr", "scale_init.strategy": "scale init"}

FRONT, ON_FRONT = "front", "●"
"""Heading of the column that marks the Pareto front, and its mark."""
MOST_BROKEN = 5
"""Infeasible trials that are named."""


def headings(result: Result) -> list[str]:
    """The column headings, the recipe's varying values between the standing ones."""
    varying = (HEADINGS.get(name, name) for name in columns(result))
    front, extras = [FRONT] if result.several else [], [goal.heading for goal in result.extras]
    return ["rank", *front, "trial", *varying, "val loss", "Top-1", "Top-5", *extras, "flip ratio", "epochs", "state"]


def columns(result: Result) -> list[str]:
    """The recipe values that have a column."""
    return list(result.rows[0].recipe) if result.rows else list(COLUMNS)


def cells(result: Result, rank: int, group: Sequence[TrialRow]) -> list[str]:
    """The texts of one configuration: of its one trial, or the means over its seeds with their 95 % intervals.

    ``rank`` counts configurations trained to their end within the constraints; the others have none. A mean is over the seeds trained
    to their end.
    """
    row = group[0]
    complete = [one for one in group if one.state == "COMPLETE"]
    shown = complete or group
    states = Counter(one.shown_state for one in group)
    return [
        str(rank) if states["COMPLETE"] == len(group) else "",
        *([ON_FRONT if row.front else ""] if result.several else []),
        f"#{row.number}" if len(group) == 1 else " ".join(f"#{one.number}" for one in sorted(group, key=lambda r: r.number)),
        *(
            "null" if name in row.params and row.params[name] is None else value(row.recipe.get(name))
            for name in columns(result)
        ),
        number([one.val_loss for one in shown], ".4f"),
        number([one.val_top1 for one in shown], ".2f"),
        mean([one.val_top5 for one in shown], ".2f"),
        *(mean([one.values.get(goal.name) for one in shown], goal.form) for goal in result.extras),
        mean([one.flip_ratio for one in shown], ".2e"),
        epochs_text(mean_of([one.epochs for one in shown])),
        row.shown_state if len(states) == 1 else ", ".join(f"{count} {state}" for state, count in states.items()),
    ]


def value(item: object) -> str:
    """A recipe's value in a cell."""
    if item is None:
        return ""
    return f"{item:.3g}" if isinstance(item, float) else str(item)


def number(items: Sequence[float | None], form: str) -> str:
    """A measured number in a cell, or the mean of several with its interval; nothing where nothing was measured."""
    found = estimate([item for item in items if item is not None])
    return "" if found is None else found.text(form)


def mean(items: Sequence[float | None], form: str) -> str:
    """A mean alone, where an interval would take more room than it is worth."""
    found = mean_of(items)
    return "" if found is None else format(found, form)


def mean_of(items: Sequence[float | None]) -> float | None:
    """The mean of what was measured; None where nothing was."""
    found = estimate([item for item in items if item is not None])
    return None if found is None else found.mean


def epochs_text(epochs: float | None) -> str:
    """A number of epochs, parts of one to a hundredth."""
    return "" if epochs is None else f"{epochs:.2f}".rstrip("0").rstrip(".")


def chosen(best: Best) -> str:
    """The chosen trial and its test accuracy in words."""
    if len(best.trials) == 1:
        return f"trial #{best.number}, test Top-1 {best.test_top1:.2f} %, Top-5 {best.test_top5:.2f} %"
    interval = f" ± {best.test_top1_interval:.2f}" if best.test_top1_interval is not None else ""
    trials = " ".join(f"#{number}" for number in best.trials)
    top1 = f"{best.test_top1:.2f}{interval} % (95 %, n = {len(best.trials)} seeds)"
    return f"trials {trials}, test Top-1 {top1}, Top-5 {best.test_top5:.2f} %"


def objectives_told(result: Result) -> list[str]:
    """What a reader of the leaderboard must know of several objectives and of constraints; nothing where there is neither."""
    told = []
    if result.several:
        wanted = ", ".join(f"{goal.name} {goal.direction}d" for goal in result.goals)
        told.append(
            f"{ON_FRONT} on the Pareto front: no other trial is better in one objective and as good in the rest ({wanted})"
        )
    broken = [row for row in sorted(result.rows, key=lambda row: row.number) if row.infeasible is not None]
    if broken:
        few = "; ".join(f"#{row.number}: {row.infeasible}" for row in broken[:MOST_BROKEN])
        more = f"; and {len(broken) - MOST_BROKEN} more" if len(broken) > MOST_BROKEN else ""
        told.append(f"infeasible: {few}{more}")
    return told


def markdown(result: Result, most: int | None = None, runs: Mapping[int, str] | None = None) -> str:
    """The leaderboard as a Markdown table, with at most so many rows; trials become links where ``runs`` has their pages."""
    names = headings(result)
    lines = ["| " + " | ".join(names) + " |", "|" + " --- |" * len(names)]
    for rank, group in enumerate(result.groups[:most], start=1):
        texts = cells(result, rank, group)
        pages = [(f"#{row.number}", (runs or {}).get(row.number)) for row in sorted(group, key=lambda row: row.number)]
        texts[names.index("trial")] = " ".join(name if page is None else f"[{name}]({page})" for name, page in pages)
        lines.append("| " + " | ".join(texts) + " |")
    notes = "".join(f"\n{note}\n" for note in objectives_told(result))
    return "\n".join(lines) + "\n" + notes
