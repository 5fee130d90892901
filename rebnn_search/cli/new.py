"""``rebnn-search new FILE``: a copy of a search file that comes with the program, and of its recipe, to edit."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import yaml

from rebnn_search.base.errors import UserError
from rebnn_search.base.files import read_whole, write_whole
from rebnn_search.base.packaged import SPACES, packaged_file

RECIPE_LINE = re.compile(r"^recipe:[ \t]*(\S+).*$", re.MULTILINE)
DATA_PATH = re.compile(r"\b((?:root|path):\s*)\.\./")
"""Of a recipe in a folder of its own, beside that of the data; the copy lies beside the data's folder itself."""
DEFAULT = "gamma"


def parser(prog: str = "rebnn-search new") -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(
        prog=prog,
        description="Copy a search file that comes with the program to FILE.yaml, and its recipe to FILE.recipe.yaml beside it, "
        "to edit both.",
    )
    p.add_argument("file", metavar="FILE.yaml", help="the new search file; nothing may be there")
    p.add_argument(
        "--from",
        metavar="NAME",
        default=DEFAULT,
        dest="source",
        help="which one, of rebnn-search spaces (default: %(default)s)",
    )
    return p


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Run the command. Returns 0."""
    args = (parser(prog) if prog else parser()).parse_args(argv)
    space = Path(args.file)
    if space.suffix not in (".yaml", ".yml"):
        raise UserError(f"{args.file}: the name of a search file ends in .yaml")
    recipe = space.with_name(f"{space.stem}.recipe.yaml")
    for file in (space, recipe):
        if file.exists():
            raise UserError(f"{file}: is there already: name another file")
    source = packaged_file(args.source, SPACES)
    text = read_whole(source).decode()
    named = RECIPE_LINE.search(text)
    assert named is not None
    recipe_text = read_whole(source.parent / named[1]).decode()
    write_whole(recipe, DATA_PATH.sub(r"\1", recipe_text).encode())
    named_anew = yaml.safe_dump({"recipe": recipe.name}, allow_unicode=True, width=10_000).rstrip("\n")
    write_whole(space, RECIPE_LINE.sub(lambda _: named_anew, text, count=1).encode())
    print(f"{space}: what varies, how it is sampled and pruned, how many trials\n{recipe}: what every trial trains")
    print(f"edit them, then: rebnn-search run {shlex.quote(str(space))} --dry-run")
    return 0
