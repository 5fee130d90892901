"""Reads checkpoints onto the CPU, wherever they were written: a training on GPUs is exported on a laptop."""

from __future__ import annotations

import hashlib
import io
import warnings
from pathlib import Path
from typing import Any

import torch

from rebnn_search.config import UserError
from rebnn_search.export._files import read_whole
from rebnn_search.training.checkpoint import MAGIC

CHECKPOINTS = "checkpoints"
"""Folder in a training's or a trial's folder."""


def read_state(file: Path) -> dict[str, Any]:
    """Read one checkpoint, as `rebnn_search.training.checkpoint` writes it.

    Raises:
        UserError: If it is cut short, altered, or no checkpoint; the message names the file.
    """
    content = read_whole(file)
    head = len(MAGIC) + 65
    if not content.startswith(MAGIC):
        raise UserError(f"{file}: is no checkpoint of this version")
    digest, body = content[len(MAGIC) : head - 1], memoryview(content)[head:]
    if hashlib.sha256(body).hexdigest().encode() != digest:
        raise UserError(f"{file}: is damaged: its checksum does not match")
    state: dict[str, Any] = torch.load(io.BytesIO(body), map_location="cpu", weights_only=True)
    return state


def newest_state(folder: Path) -> dict[str, Any]:
    """Read the newest sound checkpoint of a training's folder. Warns of damaged ones.

    Raises:
        UserError: If there is none.
    """
    for file in sorted((folder / CHECKPOINTS).glob("[0-9]*.pt"), reverse=True):
        try:
            return read_state(file)
        except UserError as error:
            warnings.warn(f"{error}; falling back to the one before", stacklevel=2)
    raise UserError(f"{folder}: holds no sound checkpoint, in {CHECKPOINTS}/")
