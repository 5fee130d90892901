"""``rebnn-search curves NAME --out FILE``: a search's trials as a table, a row for each report."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rebnn_search.base.errors import UserError


def parser(prog: str = "rebnn-search curves") -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(
        prog=prog,
        description="Write the finished trials of a search, which may still run, as a table: parameters and every report, with "
        "step, epoch, seconds, training and validation loss, Top-1, Top-5 and flip ratio.",
    )
    p.add_argument("name", metavar="NAME", help="name of the search, as in results/NAME")
    p.add_argument("--out", metavar="FILE", required=True, help="the table: .csv, .csv.gz or .parquet")
    p.add_argument("--storage", metavar="DIR|URI", default="results", help="where the search is kept (default: %(default)s)")
    p.add_argument("--ledger", metavar="URL", help="database of its Optuna study, if it was begun with one")
    return p


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Run the command. Returns 0."""
    args = (parser(prog) if prog else parser()).parse_args(argv)
    out = Path(args.out)
    if not out.parent.is_dir():
        raise UserError(f"--out {out}: there is no folder {out.parent}")
    # What is above needs milliseconds, Optuna and torch seconds.
    from rebnn_search.study.curves import TRIAL, check_suffix, curves_table, write_curves

    check_suffix(out)
    table = curves_table(args.storage, args.name, args.ledger)
    write_curves(table, out)
    print(f"{out}: {table[TRIAL].nunique()} trials, {len(table):,} rows, {out.stat().st_size:,} bytes")
    return 0
