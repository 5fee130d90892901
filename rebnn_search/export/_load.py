"""Loads a model file of any format."""

from __future__ import annotations

from pathlib import Path

from rebnn_search.base.files import read_whole
from rebnn_search.config import UserError
from rebnn_search.export._loaded import LoadedModel
from rebnn_search.export.formats import format_of
from rebnn_search.training.checkpoint import MAGIC


def load_model(path: str | Path) -> LoadedModel:
    """Load a model file of any format in `rebnn_search.export.formats.FORMATS`. Loading runs no code of the file.

    Raises:
        UserError: If it is missing, cut short, altered, of another version, or no model; the message names it.
    """
    path = Path(path)
    content = read_whole(path)
    if content.startswith(MAGIC):
        raise UserError(f"{path}: is a checkpoint of a training, no model: python -m rebnn_search.export makes one of it")
    form = format_of(content)
    if form is None:
        raise UserError(f"{path}: is damaged, or no model that rebnn_search exported")
    return form.read(content, path)
