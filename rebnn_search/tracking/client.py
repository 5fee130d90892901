"""Where tracking goes: URIs, their checks before anything starts, and a client that logs warnings alone."""

from __future__ import annotations

import logging
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from rebnn_search.base.secrets import hide_secrets
from rebnn_search.config import UserError
from rebnn_search.config.database import check_server, check_sqlite
from rebnn_search.tracking.database import check_writable, prepare_database

if TYPE_CHECKING:
    from mlflow import MlflowClient

SQLITE = "sqlite:///"
CONNECT_SECONDS = 5.0
ARTIFACTS = "mlartifacts"
"""Folder of artifacts beside an SQLite database."""


def default_uri() -> str:
    """The tracking database of the working directory, as an absolute URI."""
    return f"{SQLITE}{Path('mlflow.db').absolute()}"


def check_uri(uri: str, *, write: bool = True) -> str:
    """Return a tracking URI in a form that means the same in every directory.

    Args:
        uri: As the user gave it.
        write: Whether runs will be written; otherwise an SQLite file must be there.

    Raises:
        UserError: If the scheme is none that MLflow tracks to, an SQLite file is damaged, another program's or out of reach, or no
            server answers at an http address.
    """
    if uri.startswith(SQLITE):
        path = Path(uri.removeprefix(SQLITE)).absolute()
        option = f"--tracking-uri {uri}"
        check_sqlite(path, option=option, owner="MLflow", table="experiments", column="experiment_id", write=write)
        return f"{SQLITE}{path}"
    try:
        scheme = urlsplit(uri).scheme
    except ValueError as error:
        raise UserError(f"--tracking-uri {hide_secrets(uri)}: is no address: {error}") from None
    if scheme in ("http", "https"):
        _check_reachable(uri)
        return uri
    if scheme.split("+")[0] in ("postgresql", "mysql", "mssql"):
        return uri
    raise UserError(
        f"--tracking-uri {hide_secrets(uri)}: expected sqlite:///PATH, a database URL (postgresql://, mysql://, mssql://) "
        "or the http(s):// address of an MLflow server"
    )


def _check_reachable(uri: str) -> None:
    # MLflow's own client tries for minutes before it says so.
    parts = urlsplit(uri)
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        with socket.create_connection((parts.hostname or "", port), CONNECT_SECONDS):
            pass
    except (OSError, ValueError) as error:
        raise UserError(f"--tracking-uri {hide_secrets(uri)}: the server cannot be reached: {error}") from None


def check_answers(uri: str) -> None:
    """See that a database server of MLflow's answers; files and web servers `check_uri` has looked at.

    Raises:
        UserError: If not.
    """
    if not uri.startswith((SQLITE, "http:", "https:")):
        check_server(uri, f"--tracking-uri {hide_secrets(uri)}")


def artifact_location(uri: str) -> str | None:
    """Where the artifacts of a local database go: beside it. None leaves it to the server."""
    if uri.startswith(SQLITE):
        return (Path(uri.removeprefix(SQLITE)).parent / ARTIFACTS).as_uri()
    return None


def make_client(uri: str, *, write: bool = False) -> MlflowClient:
    """Return an `mlflow.MlflowClient`, with MLflow's and Alembic's logging at warnings; an SQLite file is made fit for it.

    Args:
        uri: Tracking URI.
        write: Whether it is needed for writing.

    Raises:
        UserError: If an SQLite file is no database of MLflow's, or cannot be written where it is needed for writing.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    # The tracker tries again by itself, seconds apart; MLflow's own pauses grow to a minute, long after a server may be back.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    from mlflow import MlflowClient  # seconds to import: only where something is tracked

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    if uri.startswith(SQLITE):
        path = Path(uri.removeprefix(SQLITE))
        prepare_database(path)
        if write:
            check_writable(path)
    return MlflowClient(tracking_uri=uri)
