"""The packed model of a run in MLflow."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rebnn_search.config import UserError
from rebnn_search.config.database import check_sqlite

ARTIFACT = "model/packed.safetensors"
"""Where a run keeps its trained network."""
SQLITE = "sqlite:///"
RUN_ID = re.compile(r"[0-9a-f]{32}")


def download_packed(run_id: str, uri: str | None) -> bytes:
    """Fetch the packed model of a run.

    Args:
        run_id: Of the run.
        uri: Tracking URI; None for ``MLFLOW_TRACKING_URI``, or else ``mlflow.db`` in the working directory.

    Raises:
        UserError: If there is no such database, server or run, or it holds no packed model.
    """
    uri = uri or os.environ.get("MLFLOW_TRACKING_URI") or f"{SQLITE}{Path('mlflow.db').absolute()}"
    if uri.startswith(SQLITE):
        if not Path(uri.removeprefix(SQLITE)).is_file():
            raise UserError(
                f"run {run_id}: there is no tracking database {uri.removeprefix(SQLITE)}; name it with --tracking-uri"
            )
        path, option = Path(uri.removeprefix(SQLITE)), f"run {run_id}: --tracking-uri {uri}"
        check_sqlite(path, option=option, owner="MLflow", table="experiments", column="experiment_id", write=False)
    with _environment(MLFLOW_DISABLE_TELEMETRY="true", MLFLOW_HTTP_REQUEST_MAX_RETRIES="1", MLFLOW_HTTP_REQUEST_TIMEOUT="20"):
        return _download(run_id, uri)


def _download(run_id: str, uri: str) -> bytes:
    from mlflow import MlflowClient  # seconds to import
    from mlflow.exceptions import MlflowException

    try:
        client = MlflowClient(tracking_uri=uri)
        client.get_run(run_id)
    except MlflowException as error:
        # Not its text, which may hold the URI with its password.
        raise UserError(f"run {run_id}: cannot be read from MLflow ({error.error_code})") from None
    except Exception as error:  # SQLAlchemy's, Alembic's and the database driver's own
        raise UserError(f"run {run_id}: --tracking-uri cannot be used ({type(error).__name__})") from None
    with tempfile.TemporaryDirectory() as folder:
        try:
            if ARTIFACT not in [item.path for item in client.list_artifacts(run_id, str(Path(ARTIFACT).parent))]:
                raise UserError(f"run {run_id}: has no artifact {ARTIFACT}: export its trial's folder or a checkpoint instead")
            return Path(client.download_artifacts(run_id, ARTIFACT, folder)).read_bytes()
        except (MlflowException, OSError) as error:
            raise UserError(f"run {run_id}: its artifacts cannot be read ({type(error).__name__})") from None


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    """Settings for a while, where the user has made none: a server that is away is to be said at once, not after minutes."""
    mine = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(mine)
    try:
        yield
    finally:
        for name in mine:
            os.environ.pop(name, None)
