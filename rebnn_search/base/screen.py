"""Whether what is printed goes to somebody's screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def is_screen(console: Console) -> bool:
    """Whether a console is a terminal on which things can be redrawn: no file, whatever FORCE_COLOR says, and no dumb one."""
    return console.file.isatty() and not console.is_dumb_terminal
