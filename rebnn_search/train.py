"""``python -m rebnn_search.train``: the command train, see `rebnn_search.cli.train`."""

from rebnn_search.base.errors import exit_on_user_error
from rebnn_search.cli.train import main, parser

__all__ = ["main", "parser"]

if __name__ == "__main__":
    exit_on_user_error(main)
