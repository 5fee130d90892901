"""A trained network as a version of a model in MLflow's registry."""

from __future__ import annotations

import tempfile
from importlib.metadata import version
from pathlib import Path

from rebnn_search.config import UserError
from rebnn_search.tracking import Runs

FOLDER = "registered"
"""Of a run's artifacts, where the registered model lies."""


def register(runs: Runs, seed: int, name: str, model: Path) -> str:
    """Make a seed's packed model a version of a registered one, unless it is that already. Returns the version.

    What is registered is an MLflow model without pickled code: ``mlflow.pyfunc.load_model("models:/NAME/1").predict(images)``
    returns probabilities wherever this program is installed.

    Raises:
        UserError: If the registry does not take it; the message says why.
    """
    import mlflow.pyfunc
    from mlflow.exceptions import MlflowException

    run_id, client = runs.children[seed], runs.client
    try:
        if not any(found.name == name for found in client.search_registered_models(f"name = '{name}'")):
            client.create_registered_model(name)
        for there in client.search_model_versions(f"name = '{name}'"):
            if there.run_id == run_id:
                return str(there.version)
        with tempfile.TemporaryDirectory() as folder:
            mlflow.pyfunc.save_model(
                f"{folder}/{FOLDER}", loader_module="rebnn_search.refit.pyfunc", data_path=str(model),
                pip_requirements=[f"rebnn-search=={version('rebnn-search')}"],
            )  # fmt: skip
            client.log_artifacts(run_id, f"{folder}/{FOLDER}", FOLDER)
        made = client.create_model_version(name, source=f"runs:/{run_id}/{FOLDER}", run_id=run_id)
    except MlflowException as error:
        raise UserError(f"--register {name}: {str(error).splitlines()[0]}") from None
    return str(made.version)
