"""What MLflow calls to load a registered model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from rebnn_search.export import LoadedModel, load_model


class Classifier:
    """A model as MLflow uses one."""

    def __init__(self, model: LoadedModel) -> None:
        self.model = model

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> np.ndarray[Any, Any]:
        """The probabilities (n, classes) of images or of a table's rows, in the units of the training data."""
        return self.model.predict_proba(np.asarray(model_input))


def _load_pyfunc(path: str) -> Classifier:
    """Load the packed file at a path, or the only one in it."""
    found = Path(path)
    return Classifier(load_model(next(found.glob("*.safetensors")) if found.is_dir() else found))
