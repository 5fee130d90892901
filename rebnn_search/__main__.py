"""``python -m rebnn_search VERB ...``: as ``rebnn-search VERB ...``."""

from rebnn_search.cli.main import entry

if __name__ == "__main__":
    entry()
