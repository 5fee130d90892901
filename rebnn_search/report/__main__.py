"""``python -m rebnn_search.report``: the command report, see `rebnn_search.cli.report`."""

from rebnn_search.base.errors import exit_on_user_error
from rebnn_search.cli.report import main, parser

__all__ = ["main", "parser"]

if __name__ == "__main__":
    exit_on_user_error(main)
