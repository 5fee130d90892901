"""The torch format: a file that ``torch.load(path, weights_only=True)`` reads, with a plain state dict in it.

Not torch.export's ``.pt2``, whose loading unpickles and so can run code, and which is bound to torch's version: this one runs none,
and what comes out is a module that trains on, moves to a GPU and compiles as any other. Who wants a graph that needs no class of
ours takes ONNX, which is as safe.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from rebnn_search.base.files import write_whole
from rebnn_search.config import UserError
from rebnn_search.export._check import check_binary, check_tensors, check_two_values, check_values
from rebnn_search.export._expected import expected_state, is_plain
from rebnn_search.export._header import KEY, Header, read_header
from rebnn_search.export._info import ModelInfo
from rebnn_search.export._loaded import LoadedModel
from rebnn_search.export._network import FoldedState, fold, restore
from rebnn_search.export.formats.base import FORMATS, ModelFormat
from rebnn_search.export.sizes import LayerSize
from rebnn_search.training.plain_torch import load_plain

NETWORK = "network"
"""Key of the state dict, beside the header's."""


@FORMATS.register("torch")
class Torch(ModelFormat):
    """A plain state dict that ``torch.load(path, weights_only=True)`` reads: for training on and for other torch code."""

    file = "model.pt"

    def claims(self, content: bytes) -> bool:
        """Whether this begins as a file of `torch.save` does, a zip archive."""
        return content.startswith(b"PK\x03\x04")

    def write(self, network: nn.Module, info: ModelInfo, path: Path) -> Sequence[LayerSize]:
        """Write what `export_torch` does."""
        export_torch(network, info, path)
        return ()

    def read(self, content: bytes, path: Path) -> LoadedModel:
        """Build the network, to the bit."""
        network, info = load_torch(content, path)
        return LoadedModel(info, network, network)


def export_torch(network: nn.Module, info: ModelInfo, path: str | Path) -> None:
    """Write a trained network as a torch file: arguments and errors as `rebnn_search.export.export_packed`."""
    state = fold(network)
    check_values(state.tensors, path)
    header, buffer = Header(info, state.binary), io.BytesIO()
    torch.save({KEY: header.seal(header.digest(state.tensors)), NETWORK: state.tensors}, buffer)
    write_whole(Path(path), buffer.getvalue())


def load_torch(content: bytes, path: Path) -> tuple[nn.Module, ModelInfo]:
    """Build the network of a torch file, in evaluation mode: errors as `rebnn_search.export.formats._packed.load_packed`."""
    try:
        found = load_plain(content, "cpu")
    except ValueError:
        raise UserError(f"{path}: is damaged, or no file of plain tensors") from None
    sealed = read_header(found, path)
    tensors = found.get(NETWORK)
    if not isinstance(tensors, dict) or not all(isinstance(name, str) and is_plain(part) for name, part in tensors.items()):
        raise UserError(f"{path}: is damaged: it holds no network")
    # Tensors may share one storage: together they are no larger than the file.
    if sum(tensor.nbytes for tensor in tensors.values()) > len(content):
        raise UserError(f"{path}: is damaged: its tensors are larger than the file")
    sealed.check(tensors, path)
    info, binary = sealed.header.info, sealed.header.binary
    expected = expected_state(info, len(tensors), str(path))
    check_binary(binary, expected, path)
    check_tensors(tensors, expected.tensors, expected, path)
    check_two_values(binary, tensors, path)
    return restore(info, FoldedState(tensors, dict(binary)), path), info
