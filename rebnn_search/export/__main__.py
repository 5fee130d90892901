"""``python -m rebnn_search.export``: the command export, see `rebnn_search.cli.export`."""

from rebnn_search.base.errors import exit_on_user_error
from rebnn_search.cli.export import main, parser

__all__ = ["main", "parser"]

if __name__ == "__main__":
    exit_on_user_error(main)
