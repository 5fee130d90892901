"""The chosen trial's network as a file, and in MLflow."""

from __future__ import annotations

import logging
import os
import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn

from rebnn_search.base.layout import MODEL_FILE
from rebnn_search.export import ModelInfo, describe, export_packed, load_model
from rebnn_search.storage.folder import SearchFolder
from rebnn_search.tracking import Runs
from rebnn_search.training import Trainer
from rebnn_search.training.data.normalisation import normalise

logger = logging.getLogger(__name__)

MODEL_TAG = "rebnn_search.model"
"""Tag of the parent run: number of the trial whose model it holds."""
PACKED = "packed.safetensors"
PYTORCH = "best_model"
"""Name of the model with MLflow's PyTorch flavour."""
EXAMPLES = 3


class RawInputNetwork(nn.Module):
    """A trained network that takes images as its data has them and normalises them itself.

    Args:
        network: From normalised images (n, C, H, W) to logits (n, classes).
        info: Of the network.
    """

    def __init__(self, network: nn.Module, info: ModelInfo) -> None:
        super().__init__()
        self.network = network
        self.mean: Tensor
        self.std: Tensor
        mean, std = info.statistics()
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (n, classes) of images (n, C, H, W) in the units of the training data: float32, or of real numbers
        float64.
        """
        logits: Tensor = self.network(normalise(images, self.mean, self.std))
        return logits


def packed(trainer: Trainer) -> bytes:
    """A trained network as the content of a packed model file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / PACKED
        export_packed(trainer.network, describe(trainer.recipe, trainer.data), path)
        return path.read_bytes()


def model_file(folder: SearchFolder, number: int) -> Path:
    """Where a trial's packed model is kept."""
    return folder.trial(number) / MODEL_FILE


def log_model(runs: Runs, uri: str, file: Path, number: int) -> None:
    """Give the parent run the model of a trial: packed, and with MLflow's PyTorch flavour, signature and input example.

    The flavour's file is a graph of `torch.export`, which loads without running code and without this package. A model that MLflow
    cannot take is named in the log: the packed one is there all the same.
    """
    client, parent = runs.client, runs.parent_id
    if client.get_run(parent).data.tags.get(MODEL_TAG) == str(number):
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / PACKED
        copy.write_bytes(file.read_bytes())
        client.log_artifact(parent, str(copy), "model")
    try:
        _log_flavour(uri, parent, file)
    except Exception:
        logger.exception("the best model could not be logged with MLflow's PyTorch flavour")
    client.set_tag(parent, MODEL_TAG, str(number))


def _log_flavour(uri: str, run_id: str, file: Path) -> None:
    import mlflow
    from mlflow import MlflowClient
    from mlflow.models import infer_signature

    model = load_model(file)
    assert model.network is not None
    info = model.info
    classifier = RawInputNetwork(model.network, info).eval()
    spread = torch.linspace(-1, 1, EXAMPLES).view(-1, 1, 1, 1) * classifier.std
    example = (classifier.mean + spread).expand(-1, -1, info.image_size, info.image_size).contiguous()
    with torch.no_grad():
        signature = infer_signature(example.numpy(), classifier(example).numpy())
    # MLflow's own way of logging models knows one tracking URI a process, and keeps it in the environment too.
    before, variable = mlflow.get_tracking_uri(), os.environ.get("MLFLOW_TRACKING_URI")
    client = MlflowClient(uri)
    of_run = f"source_run_id = '{run_id}'"
    for earlier in client.search_logged_models([client.get_run(run_id).info.experiment_id], filter_string=of_run):
        client.delete_logged_model(earlier.model_id)  # of a trial that is no longer the best, or cut short
    mlflow.set_tracking_uri(uri)
    try:
        with mlflow.start_run(run_id=run_id):
            mlflow.pytorch.log_model(
                classifier, name=PYTORCH, signature=signature, input_example=example.numpy(), serialization_format="pt2",
                pip_requirements=[f"torch=={torch.__version__.partition('+')[0]}"],
            )  # fmt: skip
    finally:
        mlflow.set_tracking_uri(before)
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        if variable is not None:
            os.environ["MLFLOW_TRACKING_URI"] = variable
