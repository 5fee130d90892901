"""``python -m rebnn_search.predict``: the command predict, see `rebnn_search.cli.predict`."""

from rebnn_search.base.errors import exit_on_user_error
from rebnn_search.cli.predict import main, parser

__all__ = ["main", "parser"]

if __name__ == "__main__":
    exit_on_user_error(main)
