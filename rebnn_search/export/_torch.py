"""The torch format: a file that ``torch.load(path, weights_only=True)`` reads, with a plain state dict in it.

Not torch.export's ``.pt2``, whose loading unpickles and so can run code, and which is bound to torch's version: this one runs none,
and what comes out is a module that trains on, moves to a GPU and compiles as any other. Who wants a graph that needs no class of
ours takes ONNX, which is as safe.
"""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rebnn_search.config import UserError
from rebnn_search.export._files import write_whole
from rebnn_search.export._header import KEY, Header, check_digest, read_header
from rebnn_search.export._info import ModelInfo
from rebnn_search.export._network import FoldedState, fold, restore

NETWORK = "network"
"""Key of the state dict, beside the header's."""


def export_torch(network: nn.Module, info: ModelInfo, path: str | Path) -> None:
    """Write a trained network as a torch file: arguments and errors as `rebnn_search.export.export_packed`."""
    state = fold(network)
    header, buffer = Header(info, state.binary), io.BytesIO()
    torch.save({KEY: header.seal(header.digest(state.tensors)), NETWORK: state.tensors}, buffer)
    write_whole(Path(path), buffer.getvalue())


def is_torch(content: bytes) -> bool:
    """Whether this begins as a file of `torch.save` does."""
    return content.startswith(b"PK\x03\x04")


def load_torch(content: bytes, path: Path) -> tuple[nn.Module, ModelInfo]:
    """Build the network of a torch file, in evaluation mode: errors as `rebnn_search.export._packed.load_packed`."""
    try:
        found: Any = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (RuntimeError, ValueError, KeyError, EOFError, pickle.UnpicklingError):
        raise UserError(f"{path}: is damaged, or no file of plain tensors") from None
    header, digest = read_header(found, path)
    tensors = found.get(NETWORK)
    if not isinstance(tensors, dict) or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise UserError(f"{path}: is damaged: it holds no network")
    check_digest(header, digest, tensors, path)
    return restore(header.info, FoldedState(tensors, dict(header.binary)), path), header.info
