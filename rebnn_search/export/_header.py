"""The one entry of metadata that every model file carries: JSON with version, description and checksum."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from rebnn_search.config import Document, UserError, explain
from rebnn_search.export._info import ModelInfo

KEY = "rebnn_search"
"""The entry's name. It is but one because safetensors writes several in any order, and the same model is to be the same file."""
VERSION = 1
DIGEST = "sha256"


@dataclass(frozen=True)
class Header:
    """What a model file says beside its tensors.

    Attributes:
        info: What the network was trained as and on.
        binary: The shapes of the weights that have two values a channel, by layer.
    """

    info: ModelInfo
    binary: Mapping[str, list[int]]

    def seal(self, digest: str) -> str:
        """The entry's JSON, with a checksum."""
        return _json({**self._body(), DIGEST: digest})

    def digest(self, tensors: Mapping[str, Tensor]) -> str:
        """SHA-256, in hex, of this header and of every tensor's name, type, shape and values."""
        digest = hashlib.sha256(_json(self._body()).encode())
        for name in sorted(tensors):
            tensor = tensors[name]
            digest.update(f"\0{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
            digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
        return digest.hexdigest()

    def _body(self) -> dict[str, Any]:
        return {"version": VERSION, "model": self.info.model_dump(), "binary": dict(self.binary)}


def read_header(metadata: Any, path: Path) -> tuple[Header, str]:
    """Read a model file's header and the checksum in it, which is yet to be compared.

    Args:
        metadata: The file's, which should be a mapping with `KEY`.
        path: The file, for messages.

    Raises:
        UserError: If it is no model of this program, of another version, or not whole; the message names the file.
    """
    text = metadata.get(KEY) if isinstance(metadata, Mapping) else None
    if text is None:
        raise UserError(f"{path}: is no model that rebnn_search exported")
    try:
        found = json.loads(text)
        version, model, binary, digest = (found[key] for key in ("version", "model", "binary", DIGEST))
        shapes = {str(name): [int(size) for size in shape] for name, shape in binary.items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path}: is damaged: its header cannot be read ({type(error).__name__})") from None
    if version != VERSION:
        raise UserError(f"{path}: has format version {version}, this program reads version {VERSION}: export it anew")
    try:
        return Header(ModelInfo.model_validate(model), shapes), str(digest)
    except ValidationError as error:
        raise UserError(explain(error, Document(str(path), {}))) from None


def check_digest(header: Header, digest: str, tensors: Mapping[str, Tensor], path: Path) -> None:
    """See that a file's tensors and header are what was written.

    Raises:
        UserError: If not; the message names the file.
    """
    try:
        found = header.digest(tensors)
    except (TypeError, RuntimeError):  # tensors of a kind that was not written
        found = ""
    if found != digest:
        raise UserError(f"{path}: is damaged: its checksum does not match")


def _json(data: Mapping[str, Any]) -> str:
    return json.dumps(data, sort_keys=True, allow_nan=False, ensure_ascii=False)
