"""What MLflow calls to load a registered model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from rebnn_search.config import UserError
from rebnn_search.export import LoadedModel, load_model


class PyfuncModel:
    """A packed model as MLflow's ``pyfunc`` flavour calls one. Registered models name this module and `_load_pyfunc` alone."""

    def __init__(self, model: LoadedModel) -> None:
        self.model = model

    def predict(self, model_input: object, params: dict[str, object] | None = None) -> np.ndarray[Any, Any]:
        """The probabilities (n, classes) of images or of a table's rows, in the units of the training data.

        A frame's columns are found by name, as `predict` finds those of a file, where the model was trained on a table.
        """
        if hasattr(model_input, "columns") and self.model.knows_columns:
            return self.model.predict_frame(model_input)
        return self.model.predict_proba(np.asarray(model_input))


def _load_pyfunc(path: str) -> PyfuncModel:
    """Load the packed file at a path, or the only one in it.

    Raises:
        UserError: If there is none, or as `rebnn_search.export.load_model`.
    """
    found = Path(path)
    if found.is_dir():
        files = sorted(found.glob("*.safetensors"))
        if len(files) != 1:
            raise UserError(f"{path}: holds {len(files) or 'no'} packed model{'s' if len(files) > 1 else ''}, one is read")
        found = files[0]
    return PyfuncModel(load_model(found))
