"""Reads checkpoints onto the CPU, wherever they were written: a training on GPUs is exported on a laptop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rebnn_search.base.files import read_whole
from rebnn_search.base.layout import CHECKPOINTS
from rebnn_search.config import UserError
from rebnn_search.training.checkpoint import CheckpointDirectory, parse_checkpoint


def read_state(file: Path) -> dict[str, Any]:
    """Read one checkpoint, as `rebnn_search.training.checkpoint` writes it.

    Raises:
        UserError: If it is cut short, altered, no checkpoint, or holds more than plain tensors; the message names the file.
    """
    try:
        return parse_checkpoint(read_whole(file), f"{file}:", device="cpu")
    except ValueError as error:
        raise UserError(str(error)) from None


def newest_state(folder: Path) -> dict[str, Any]:
    """Read the newest sound checkpoint of a training's folder. Warns of damaged ones.

    Raises:
        UserError: If there is none.
    """
    found = CheckpointDirectory(folder / CHECKPOINTS).latest("cpu")
    if found is None:
        raise UserError(f"{folder}: holds no sound checkpoint, in {CHECKPOINTS}/")
    return found[1]
