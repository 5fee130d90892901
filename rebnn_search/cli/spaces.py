"""``rebnn-search spaces``: the search files and recipes that come with the program."""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections.abc import Sequence
from typing import TextIO

from rebnn_search.base.packaged import RECIPES, SPACES, first_comment, packaged_files

WIDTH = 120
EXAMPLES = (
    ("rebnn-search run gamma", "runs a search as it is"),
    ("rebnn-search run gamma --set epochs=4 --dry-run", "shows what it would do"),
    ("rebnn-search new mine.yaml --from gamma", "copies it to edit"),
)


def parser(prog: str = "rebnn-search spaces") -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(prog=prog, description="List the search files and recipes that come with the program.")
    p.add_argument("--json", action="store_true", help="print one JSON object")
    return p


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Run the command. Returns 0."""
    args = (parser(prog) if prog else parser()).parse_args(argv)
    if args.json:
        found = {
            folder: [{"name": n, "path": str(f), "about": first_comment(f)} for n, f in packaged_files(folder).items()]
            for folder in (SPACES, RECIPES)
        }
        print(json.dumps(found, ensure_ascii=False))
    else:
        print_spaces(sys.stdout)
        print("\nrecipes, for rebnn-search train:")
        _print_files(sys.stdout, RECIPES)
    return 0


def print_spaces(file: TextIO) -> None:
    """Print the search files by name with what they ask, and how to use one."""
    print("search files that come with the program:", file=file)
    _print_files(file, SPACES)
    print(file=file)
    width = max(len(command) for command, _ in EXAMPLES)
    for command, what in EXAMPLES:
        print(f"  {command:{width}}  {what}", file=file)


def _print_files(file: TextIO, folder: str) -> None:
    known = packaged_files(folder)
    width = max(map(len, known), default=0)
    for name, path in known.items():
        about = textwrap.shorten(first_comment(path), WIDTH - width - 4, placeholder=" ...")
        print(f"  {name:{width}}  {about}", file=file)
