"""``python -m rebnn_search.refit``: the command refit, see `rebnn_search.cli.refit`."""

from rebnn_search.base.errors import exit_on_user_error
from rebnn_search.cli.refit import main, parser

__all__ = ["main", "parser"]

if __name__ == "__main__":
    exit_on_user_error(main)
