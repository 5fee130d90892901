"""``python -m rebnn_search.run``: the command run, see `rebnn_search.cli.run`."""

from rebnn_search.base.errors import exit_on_user_error
from rebnn_search.cli.run import main, parser

__all__ = ["main", "parser"]

if __name__ == "__main__":
    exit_on_user_error(main)
