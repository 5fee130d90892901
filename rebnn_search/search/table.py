"""The leaderboard as rows of text: one place that says how each value is written."""

from __future__ import annotations

from typing import Any

from rebnn_search.search.result import COLUMNS, Result, Row

HEADINGS = {"gamma.strategy": "γ-strategy", "gamma.value": "γ value", "optimizer.lr": "lr", "scale_init.strategy": "scale init"}


def headings(result: Result) -> list[str]:
    """The column headings, the recipe's varying values between the standing ones."""
    varying = (HEADINGS.get(name, name) for name in columns(result))
    return ["rank", "trial", *varying, "val loss", "Top-1", "Top-5", "flip ratio", "epochs", "state"]


def columns(result: Result) -> list[str]:
    """The recipe values that have a column."""
    return list(result.rows[0].recipe) if result.rows else list(COLUMNS)


def cells(result: Result, rank: int, row: Row) -> list[str]:
    """The texts of one row. ``rank`` counts trials trained to their end; the others have none."""
    return [
        str(rank) if row.state == "COMPLETE" else "",
        f"#{row.number}",
        *(value(row.recipe.get(name)) for name in columns(result)),
        number(row.val_loss, ".4f"),
        number(row.val_top1, ".2f"),
        number(row.val_top5, ".2f"),
        number(row.flip_ratio, ".2e"),
        number(row.epochs, ".4g"),
        row.state,
    ]


def value(item: Any) -> str:
    """A recipe's value in a cell."""
    if item is None:
        return ""
    return f"{item:.3g}" if isinstance(item, float) else str(item)


def number(item: float | None, form: str) -> str:
    """A measured number in a cell."""
    return "" if item is None else format(item, form)


def markdown(result: Result) -> str:
    """The leaderboard as a Markdown table, with the chosen trial's test accuracy above it."""
    lines = []
    if result.best is not None:
        best = result.best
        lines += [f"Best trial **#{best.number}**: test Top-1 {best.test_top1:.2f} %, Top-5 {best.test_top5:.2f} %", ""]
    names = headings(result)
    lines += ["| " + " | ".join(names) + " |", "|" + " --- |" * len(names)]
    lines += ["| " + " | ".join(cells(result, rank, row)) + " |" for rank, row in enumerate(result.rows, start=1)]
    return "\n".join(lines) + "\n"
