"""The end of a search on a terminal or in a pipe: leaderboard, test accuracy, what to do next."""

from __future__ import annotations

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rebnn_search.base.screen import is_screen
from rebnn_search.config import printable
from rebnn_search.study.result import Result
from rebnn_search.study.table import FRONT, cells, chosen, headings, objectives_told

STYLES = {"COMPLETE": "", "INFEASIBLE": "magenta", "PRUNED": "dim", "FAIL": "red", "RUNNING": "yellow", "WAITING": "dim"}
WIDEST = 10_000
"""Columns of text that no table needs."""
DROPPED_FIRST = ("Top-5", "epochs", "flip ratio")
KEPT = (FRONT, "trial", "val loss", "Top-1", "state")
RIGHT = {"rank", "trial", "γ value", "lr", "val loss", "Top-1", "Top-5", "flip ratio", "epochs"}


def print_result(console: Console, result: Result, ui_command: str, resume_command: str, report: str | None = None) -> None:
    """Print the leaderboard and below it what was chosen, where it is and how to go on."""
    print_leaderboard(console, result)
    console.print()
    failed: dict[str, list[str]] = {}
    for row in result.rows:
        if row.state == "FAIL":
            failed.setdefault(row.reason or "unknown", []).append(f"#{row.number}")
    for reason, trials in failed.items():
        line(console, f"failed: {', '.join(trials)}: {reason}")
    if result.interrupted:
        line(console, f"{result.name} was stopped; continue it with")
        line(console, f"  {resume_command}")
    elif result.best is None:
        line(console, f"{result.name}: {result.none_chosen()}")
    else:
        line(console, f"chosen: {chosen(result.best)}")
        line(console, f"its recipe: {result.best.recipe}")
        line(console, f"its network: {result.best.model}")
    if result.cost is not None:
        line(console, f"cost: {result.cost.text()}")
    if result.out_of_time:
        begun = sum(row.state == "RUNNING" for row in result.rows)
        line(console, f"the time was over after {len(result.rows) - begun} trials, {begun} more were begun")
    if result.enough is not None:
        line(console, f"ended after {len(result.rows)} trials, as stop_when says: {result.enough}")
    if result.untracked is not None:
        line(console, f"tracking is behind ({result.untracked}); what is missing is kept and sent by the next --resume")
    if report is not None:
        line(console, f"report, table and figures: {report}")
    line(console, f"compare the trials: {ui_command}")
    if result.view is not None:
        line(console, f"  and open: {result.view}")
    if result.compare is not None:
        line(console, f"  or the best beside each other: {result.compare}")
    if not result.interrupted:
        line(console, f"continue or enlarge the search: {resume_command}")


def print_leaderboard(console: Console, result: Result) -> None:
    """Print the leaderboard alone."""
    if is_screen(console):
        table, left_out = _table(result, console.width)
        console.print(table)
        if left_out:
            console.print(Text(f"left out for want of width: {', '.join(left_out)}", style="dim"))
    else:
        # A pipe has no width of its own: the table takes what it needs.
        Console(file=console.file, width=WIDEST, no_color=True).print(_table(result, WIDEST)[0])
    for text in objectives_told(result):
        line(console, text)


def _table(result: Result, width: int) -> tuple[Table, list[str]]:
    """The leaderboard in at most ``width`` columns of text, and the headings it had to leave out, the least important first."""
    names, left_out = headings(result), []
    rows = [(group[0], list(map(printable, cells(result, rank, group)))) for rank, group in enumerate(result.groups, start=1)]
    lengths = {name: max(cell_len(text) for text in (name, *(row[k] for _, row in rows))) for k, name in enumerate(names)}
    measured = [goal.heading for goal in result.extras]
    others = [name for name in names if name not in (*DROPPED_FIRST, *KEPT, *measured)]
    same = [name for name in others if len({row[names.index(name)] for _, row in rows}) < 2 and len(rows) > 1]
    first = [name for name in (*same, *DROPPED_FIRST) if name in names]
    droppable = first + [name for name in others[::-1] if name not in same]
    while droppable and sum(length + 2 for name, length in lengths.items() if name not in left_out) > width:
        left_out.append(droppable.pop(0))
    table = Table(box=None, padding=(0, 1), header_style="bold")
    for name in names:
        if name not in left_out:
            table.add_column(name, justify="right" if name in RIGHT or name in measured else "left", no_wrap=True)
    for row, texts in rows:
        shown = [Text(text) for name, text in zip(names, texts, strict=True) if name not in left_out]
        table.add_row(*shown, style=STYLES[row.shown_state])
    return table, left_out


def line(console: Console, text: str) -> None:
    """Print a line as it is: no wrapping, so that a command can be copied. What others' files say cannot steer the terminal."""
    console.print(printable(text, keep="\n"), soft_wrap=True, markup=False, highlight=False)
