"""What a person sees while a search runs and when it ends."""

from rebnn_search.terminal.board import print_result
from rebnn_search.terminal.live import LiveProgress
from rebnn_search.terminal.notebook import NotebookProgress, in_notebook
from rebnn_search.terminal.plain import PlainProgress

__all__ = ["LiveProgress", "NotebookProgress", "PlainProgress", "in_notebook", "print_result"]
