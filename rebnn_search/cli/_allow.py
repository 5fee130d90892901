"""``--allow MODULE:NAME``: a user's own network or dataset, which every command that makes one must be told of."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path


def add_allow(parser: argparse.ArgumentParser) -> None:
    """Give a command the option."""
    parser.add_argument(
        "--allow", metavar="MODULE:NAME", action="append", default=[],
        help="let the recipe name this function of yours as network or dataset; may be repeated",
    )  # fmt: skip


def allow_parts(names: Iterable[str]) -> None:
    """Let recipes name these functions.

    Raises:
        UserError: If one cannot be imported.
    """
    names = list(names)
    if not names:
        return
    from rebnn_search.training.custom_parts import allow

    import_from_here(names)
    for name in names:
        allow(name)


def import_from_here(names: Sequence[str]) -> None:
    """Where there are names, let what the working directory holds be imported, as by ``python -m``."""
    here = str(Path.cwd())
    if names and "" not in sys.path and here not in sys.path:
        sys.path.append(here)  # Ray's workers are given this path too
