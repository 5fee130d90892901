"""Loads a model file of any format."""

from __future__ import annotations

from pathlib import Path

from rebnn_search.base.files import read_whole
from rebnn_search.base.layout import MODEL_FILE
from rebnn_search.config import UserError
from rebnn_search.export._engine import ENGINES, with_engine
from rebnn_search.export._loaded import LoadedModel
from rebnn_search.export.formats import ModelFormat, format_of
from rebnn_search.training.checkpoint import MAGIC


def load_model(path: str | Path, engine: str | None = None) -> LoadedModel:
    """Load a model file of any format in `rebnn_search.export.formats.FORMATS`. Loading runs no code of the file.

    Args:
        path: The file.
        engine: What computes the logits: ``torch``, to the bit those of the trained network; ``openvino``, on bits or in int8,
            whichever is faster as measured on loading, within float rounding of them; ``auto``, OpenVINO where it is there, computes
            what torch does and is no slower, else torch. None is what the format says: torch, onnxruntime of an ONNX file, ``auto``
            of an OpenVINO file.

    Raises:
        UserError: If it is missing, cut short, altered, of another version, or no model; the message names it. If the engine is
            ``openvino`` and cannot compute it, or there is none of that name; or the file is of ONNX, which onnxruntime computes.
    """
    if engine is not None and engine not in ENGINES:
        raise UserError(f"engine {engine!r}: valid are {', '.join(ENGINES)}")
    path = Path(path)
    form, model = read_model(path)
    return model if engine is None and form.engine == model.engine else with_engine(model, engine or form.engine, str(path))


def read_model(path: Path) -> tuple[ModelFormat, LoadedModel]:
    """The format of a model file, and what it holds as its format reads it; errors as `load_model`."""
    if path.is_dir():
        inside = path / MODEL_FILE
        hint = f": of this one it is {inside}" if inside.exists() else ", as python -m rebnn_search.export makes one"
        raise UserError(f"{path}: is a folder; a model is a file{hint}")
    content = read_whole(path)
    if content.startswith(MAGIC):
        raise UserError(f"{path}: is a checkpoint of a training, no model: python -m rebnn_search.export makes one of it")
    form = format_of(content)
    if form is None:
        raise UserError(f"{path}: is damaged, or no model that rebnn_search exported")
    return form, form.read(content, path)
