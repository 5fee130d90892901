"""Where a search is tracked: as the user says, or where its folder says that it was, or in the working directory."""

from __future__ import annotations

import os
from pathlib import Path

from rebnn_search.base.errors import UserError
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


def identity_of(name: str, storage: str) -> str | None:
    """The identity of the search that a directory keeps under a name; None where it keeps none, or it cannot be told.

    Tracking that several people share may hold others of the name.
    """
    if "://" in storage or not NAME.fullmatch(name):
        return None
    folder = SearchFolder(Path(storage) / name)
    try:
        return folder.search_id if folder.search_file.is_file() else None
    except UserError:  # damaged, as whoever reads it says
        return None
