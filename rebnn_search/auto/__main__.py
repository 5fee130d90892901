"""``python -m rebnn_search.auto``: the command auto, see `rebnn_search.cli.auto`."""

from rebnn_search.base.errors import exit_on_user_error
from rebnn_search.cli.auto import main, parser

__all__ = ["main", "parser"]

if __name__ == "__main__":
    exit_on_user_error(main)
