"""``rebnn-search VERB ...``: one command for everything."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import NoReturn

from rebnn_search.base.errors import UserError, exit_on_user_error

VERBS = {
    "run": "search the hyperparameters of a recipe; resume or enlarge a search",
    "spaces": "the search files that come with the program",
    "new": "copy one of them, with its recipe, to edit",
    "ls": "the searches there are",
    "show": "one search: leaderboard, files, how to go on with it",
    "rm": "remove searches",
    "refit": "train the best recipe of a search once more, over several seeds",
    "auto": "from data to a trained model in a given time",
    "train": "train one recipe",
    "recipes": "a search's given configurations as recipes, to train on a machine without Ray, Optuna and MLflow",
    "report": "tables and figures of a search from its tracked runs",
    "ui": "MLflow's UI, opened at a search's table and charts",
    "curves": "a search's trials as a table, a row for each report",
    "export": "a trained network as a model file",
    "predict": "classify images or rows with a model file",
    "doctor": "what is installed, what the machine has, what a search would use",
    "completion": "completion of verbs, flags and names for bash, zsh or fish",
}
"""What there is to do, with a line for each: the module `rebnn_search.cli.VERB` does it."""


def usage() -> str:
    """What ``--help`` prints."""
    width = max(map(len, VERBS))
    lines = [f"  {verb:{width}}  {what}" for verb, what in VERBS.items()]
    return "\n".join(["usage: rebnn-search VERB ...", "", *lines, "", "rebnn-search VERB --help describes one of them."])


def main(argv: Sequence[str] | None = None) -> int:
    """Run a verb. Returns what it returns, 0 after help.

    Raises:
        UserError: If there is no such verb.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help"):
        print(usage())
        return 0 if words else 2
    if words[0] == "--version":
        from rebnn_search import __version__

        print(__version__)
        return 0
    verb = words[0]
    if verb not in VERBS:
        near = get_close_matches(verb, VERBS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise UserError(f"rebnn-search {verb}: no such verb: there are {', '.join(VERBS)}{hint}")
    command: Callable[..., int] = import_module(f"rebnn_search.cli.{verb}").main
    return command(words[1:], f"rebnn-search {verb}")


COMPLETING = "_ARGCOMPLETE"
"""Environment variable that a shell sets which asks what may come next: see `rebnn_search.cli.completion`."""


def entry() -> NoReturn:
    """The console script."""
    if COMPLETING in os.environ:
        from rebnn_search.cli.completion import answer

        answer(VERBS, os.environ.get("COMP_LINE", ""))
    exit_on_user_error(main)
