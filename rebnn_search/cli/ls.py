"""``rebnn-search ls``: the searches of a storage."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rebnn_search.base.printable import printable
from rebnn_search.base.screen import is_screen
from rebnn_search.cli._text import size_text

if TYPE_CHECKING:
    from rebnn_search.study.overview import Overview

COLUMNS = ("name", "state", "trials", "done", "pruned", "failed", "best", "objective", "started", "size")
LEFT = {"name", "state", "objective", "started"}
STYLES = {"running": "green", "interrupted": "yellow", "not begun": "dim", "damaged": "red"}
DROPPED = ("size", "objective", "failed", "pruned", "done", "started", "best", "trials")
"""What is left out where there is no room, in this order: the name goes into other commands."""


def parser(prog: str = "rebnn-search ls") -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(
        prog=prog,
        description="List the searches of a storage: state, trials, best value, when it began, size. Changes nothing.",
    )
    p.add_argument(
        "--storage", metavar="DIR|URI", default="results",
        help="where searches are kept: a directory (default: %(default)s) or an object store (s3://..., gs://..., abfss://...)",
    )  # fmt: skip
    p.add_argument("--json", action="store_true", help="print one JSON list")
    p.add_argument("--names", action="store_true", help="only the names, one a line")
    return p


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Run the command. Returns 0."""
    args = (parser(prog) if prog else parser()).parse_args(argv)
    from rebnn_search.study.overview import ASIDE, cut_off, overviews

    found = overviews(args.storage)
    if args.json:
        print(json.dumps([one.dump() for one in found]))
        return 0
    if args.names:
        print("".join(f"{one.name}\n" for one in found), end="")
        return 0
    if not found:
        print(f"no search in {args.storage}")
    else:
        _print(found)
    for one in found:
        if one.note is not None:
            print(f"{one.name}: {one.note}", file=sys.stderr)
    if "://" not in args.storage:
        for name in cut_off(Path(args.storage)):
            print(
                f"{name}: its removal was cut off; what is left is in {ASIDE}, rebnn-search rm {name} goes on", file=sys.stderr
            )
    return 0


def _print(found: Sequence[Overview]) -> None:
    """Print the table; on a terminal without what there is no room for, as names and values cut short serve nobody."""
    console = Console(highlight=False)
    rows = [(one, dict(zip(COLUMNS, map(printable, _cells(one)), strict=True))) for one in found]
    wide = {name: max(cell_len(text) for text in (name, *(cells[name] for _, cells in rows))) for name in COLUMNS}
    kept = list(COLUMNS)
    if is_screen(console):
        for name in DROPPED:
            if sum(wide[name] + 2 for name in kept) > console.width:
                kept.remove(name)
    else:
        console = Console(width=sum(wide.values()) + 2 * len(wide), no_color=True, highlight=False)
    table = Table(box=None, padding=(0, 1), header_style="bold")
    for name in kept:
        table.add_column(name, justify="left" if name in LEFT else "right", no_wrap=True)
    for one, cells in rows:
        table.add_row(*(Text(cells[name]) for name in kept), style=STYLES.get(one.state, ""))
    console.print(table)
    if left_out := [name for name in DROPPED if name not in kept]:
        console.print(Text(f"left out for want of width: {', '.join(left_out)}", style="dim"))


def _cells(one: Overview) -> tuple[str, ...]:
    """The texts of `COLUMNS`."""
    ended = None if one.complete is None else one.complete + (one.pruned or 0) + (one.failed or 0)
    return (
        one.name, one.state, f"{_shown(ended)}/{_shown(one.target)}", _shown(one.complete), _shown(one.pruned),
        _shown(one.failed), "" if one.best is None else f"{one.best:.4f}", one.objective or "",
        local_time(one.started), size_text(one.size),
    )  # fmt: skip


def _shown(count: int | None) -> str:
    return "?" if count is None else str(count)


def local_time(started: str | None) -> str:
    """A time of ISO 8601 as this machine's clock has it, to the minute; nothing for none."""
    return "" if started is None else f"{datetime.fromisoformat(started).astimezone():%Y-%m-%d %H:%M}"
