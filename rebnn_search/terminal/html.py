"""Results as HTML, for the output of a notebook's cell."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from html import escape
from pathlib import Path

from rebnn_search.study.result import Result
from rebnn_search.study.table import cells, chosen, headings, objectives_told
from rebnn_search.terminal.board import RIGHT

SHOWN = 12
"""Rows of a leaderboard: a notebook's reader scrolls past more."""


def result_html(result: Result, report: Path | None = None) -> str:
    """A search's result: the top of its leaderboard, what was chosen, where things are."""
    rows = [cells(result, rank, group) for rank, group in enumerate(result.groups[:SHOWN], start=1)]
    lines = [f"<b>{escape(result.name)}</b>: {len(result.rows)} trials, {result.direction} {escape(result.objective)}"]
    if result.best is not None:
        lines.append(f"chosen: {escape(chosen(result.best))}")
        lines.append(
            f"recipe: <code>{escape(near(result.best.recipe))}</code>, network: <code>{escape(near(result.best.model))}</code>"
        )
    elif result.interrupted:
        lines.append("it was stopped before its end; <code>resume=True</code> goes on with it")
    else:
        lines.append(escape(result.none_chosen()))
    if report is not None:
        lines.append(f"report: <code>{escape(near(str(report)))}</code>")
    if len(result.groups) > SHOWN:
        lines.append(f"the first {SHOWN} of {len(result.groups)}; <code>.table()</code> has all")
    lines += [escape(text) for text in objectives_told(result)]
    numbers = [goal.heading for goal in result.extras]
    return f"<div>{'<br>'.join(lines)}{table_html(headings(result), rows, numbers)}</div>"


def table_html(names: Sequence[str], rows: Iterable[Sequence[str]], numbers: Collection[str] = ()) -> str:
    """Texts as a table, numbers to the right: those of the usual columns and of those that are named so."""
    sides = ["right" if name in RIGHT or name in numbers else "left" for name in names]

    def row(tag: str, texts: Sequence[str]) -> str:
        filled = zip(texts, sides, strict=True)
        return "<tr>" + "".join(f'<{tag} style="text-align:{side}">{escape(text)}</{tag}>' for text, side in filled) + "</tr>"

    return f"<table><thead>{row('th', names)}</thead><tbody>{''.join(row('td', texts) for texts in rows)}</tbody></table>"


def near(path: str) -> str:
    """A path from the working directory, if it lies there."""
    absolute = Path(path).absolute()
    return str(absolute.relative_to(Path.cwd())) if absolute.is_relative_to(Path.cwd()) else path
