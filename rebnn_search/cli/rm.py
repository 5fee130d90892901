"""``rebnn-search rm NAME``: remove searches, each whole or not at all."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rebnn_search.base.errors import UserError
from rebnn_search.base.secrets import hide_secrets
from rebnn_search.cli._text import count_text, size_text

if TYPE_CHECKING:
    from rebnn_search.study.removal import Removal


def parser(prog: str = "rebnn-search rm") -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(
        prog=prog,
        description="Remove searches: folder (or place in an object store) with all trials, and the study in a database. Asks "
        "first. One that a driver has is left alone.",
    )
    p.add_argument("names", metavar="NAME", nargs="+", help="names of searches, as in results/NAME")
    p.add_argument("--storage", metavar="DIR|URI", default="results", help="where they are kept (default: %(default)s)")
    p.add_argument("--ledger", metavar="URL", help="database of the Optuna study, needed where its URL has a password")
    p.add_argument("--tracking", action="store_true", help="put their runs in MLflow's bin too; otherwise these are kept")
    p.add_argument("--tracking-uri", metavar="URI", help="where these are in MLflow (default: where the search put them)")
    p.add_argument("--yes", action="store_true", help="do not ask")
    p.add_argument("--json", action="store_true", help="print one JSON list of what was removed; needs --yes")
    return p


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Run the command. Returns 0, 1 if the user says no."""
    args = (parser(prog) if prog else parser()).parse_args(argv)
    if args.tracking_uri is not None and not args.tracking:
        raise UserError("--tracking-uri: has no use without --tracking")
    if args.json and not args.yes:
        raise UserError("--json: needs --yes: nobody is asked")
    # What is above needs milliseconds, Optuna and torch seconds.
    from rebnn_search.study.removal import plan_removal, remove_search

    removals = [
        plan_removal(args.storage, name, args.ledger, tracking=args.tracking, tracking_uri=args.tracking_uri)
        for name in dict.fromkeys(args.names)
    ]
    if not args.json:
        for removal in removals:
            for line in described(removal):
                print(line)
    if not args.yes and not _agreed(len(removals)):
        return 1
    for removal in removals:
        remove_search(removal)
        if not args.json:
            print(f"removed {removal.name}")
    if args.json:
        print(json.dumps([removal.dump() for removal in removals]))
    return 0


def described(removal: Removal) -> list[str]:
    """What is removed of a search, and what is not."""
    lines = [f"{removal.name}: {count_text(removal.trials, 'trial')}, {size_text(removal.size)}"]
    lines += [f"  {hide_secrets(removal.folder.address)} with its trials, checkpoints, models, report and refit"]
    if removal.folder.remote is not None:
        lines.append(f"  {removal.folder.path}, this machine's copy of it")
    if removal.ledger is not None:
        lines.append(f"  its study in {hide_secrets(removal.ledger)}")
    if removal.runs is None:
        lines.append("  its runs in MLflow are kept; --tracking removes them too")
    else:
        where = hide_secrets(removal.tracking_uri or "")
        lines.append(f"  {count_text(removal.runs, 'run')} in MLflow ({where}), to its bin: mlflow gc frees them")
    return lines


def _agreed(count: int) -> bool:
    if not sys.stdin.isatty():
        raise UserError("nobody can be asked here: --yes removes without asking")
    return input(f"remove {'it' if count == 1 else 'them'}? [y/N] ").strip().lower() in ("y", "yes")
