"""``python -m rebnn_search.report NAME``: the paper's table and figures, and a page, from a search's tracked runs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rebnn_search.base.errors import UserError
from rebnn_search.cli._allow import add_allow, allow_parts
from rebnn_search.cli._tracked import HELP, identity_of, tracking_of


def parser(prog: str = "python -m rebnn_search.report") -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(prog=prog, description="Draw a search's tables, figures and page from its tracked runs.")
    p.add_argument("name", metavar="NAME", help="the search's name, as gamma-1")
    p.add_argument(
        "--format", action="append", choices=("png", "svg", "pdf"), dest="formats",
        help="of the figures (default: png); may be repeated",
    )  # fmt: skip
    p.add_argument("--out", metavar="DIR", help="where to write (default: report-NAME)")
    p.add_argument(
        "--storage", metavar="DIR", default="results",
        help="where the search is kept (default: %(default)s): with its folder there the report also says how sure the choice is and "
        "where the chosen network is wrong",
    )  # fmt: skip
    p.add_argument("--tracking-uri", metavar="URI", help=HELP)
    add_allow(p)
    return p


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Run the command."""
    args = (parser(prog) if prog else parser()).parse_args(argv)
    uri = tracking_of(args.name, args.storage, args.tracking_uri)
    out = Path(args.out or f"report-{Path(args.name).name}")
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out}: is a file, not a directory")

    from rebnn_search.report import TrackedSearch, folder_of, write_report

    allow_parts(args.allow)
    search = TrackedSearch(uri, args.name, identity_of(args.name, args.storage))
    folder = folder_of(search, Path(args.storage))
    try:
        written = write_report(search, out, args.formats or ["png"], folder)
    except OSError as error:
        raise UserError(f"--out {out}: cannot be written: {error.strerror or error}") from None
    for file in written:
        print(file)
    return 0
