"""Where a search is tracked: as the user says, or where its folder says that it was, or in the working directory."""

from __future__ import annotations

import os
from pathlib import Path

from rebnn_search.storage.folder import NAME, SearchFolder
from rebnn_search.tracking import check_uri, default_uri

HELP = "MLflow tracking (default: the search's, or sqlite:///mlflow.db in this directory)"


def tracking_of(name: str, storage: str, given: str | None) -> str:
    """The tracking URI of a search, to be read.

    Args:
        name: The search's.
        storage: The directory where it may be kept.
        given: What the user says.

    Raises:
        UserError: If it cannot be used, or the search's record cannot be read.
    """
    uri = given or os.environ.get("MLFLOW_TRACKING_URI")
    if not uri and NAME.fullmatch(name):
        folder = SearchFolder(Path(storage) / name)
        if folder.search_file.is_file() and "***" not in (folder.ledger or ""):
            from rebnn_search.study.attributes import RUNS
            from rebnn_search.study.record import read_study  # Optuna: half a second

            runs = read_study(folder, folder.ledger).user_attrs.get(RUNS) or [{}]
            uri = str(runs[-1].get("tracking_uri", ""))
    return check_uri(uri if uri and "***" not in uri else default_uri(), write=False)
