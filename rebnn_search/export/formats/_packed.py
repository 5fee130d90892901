"""The packed format: one safetensors file, one bit for each binary weight.

The tensors are a network's state without its weight binarizers. In place of a binary layer's ``NAME.weight`` stand
``NAME.weight.bits`` and ``NAME.weight.scale`` (`rebnn_search.export._bits`); the rest is float32. The metadata are one
`rebnn_search.export._header`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from rebnn_search.base.files import write_whole
from rebnn_search.config import UserError
from rebnn_search.export._bits import PARTS, pack, unpack
from rebnn_search.export._check import check_binary, check_parts, check_tensors, check_values, packed_kinds
from rebnn_search.export._expected import expected_state
from rebnn_search.export._header import KEY, Header, brief, read_header
from rebnn_search.export._info import ModelInfo
from rebnn_search.export._loaded import LoadedModel
from rebnn_search.export._network import FoldedState, fold, restore
from rebnn_search.export.formats.base import FORMATS, ModelFormat
from rebnn_search.export.sizes import LayerSize, layer_sizes

LENGTH_BYTES = 8
"""A safetensors file begins with its header's length, little-endian."""


@FORMATS.register("packed")
class Packed(ModelFormat):
    """One bit for each binary weight, in a safetensors file: for keeping, sending and ``predict``."""

    file = "packed.safetensors"

    def claims(self, content: bytes) -> bool:
        """Whether a safetensors file's header follows its length, and not first what another format of ours writes there."""
        return content[LENGTH_BYTES : LENGTH_BYTES + 1] == b"{" and not begins_with(content, f"{KEY}.")

    def write(self, network: nn.Module, info: ModelInfo, path: Path) -> Sequence[LayerSize]:
        """Write what `export_packed` does."""
        return export_packed(network, info, path)

    def read(self, content: bytes, path: Path) -> LoadedModel:
        """Unpack the network, to the bit."""
        network, info = load_packed(content, path)
        return LoadedModel(info, network, network)


def begins_with(content: bytes, key: str) -> bool:
    """Whether the first entry of a safetensors file's metadata has a name that begins so; it is written before the tensors."""
    return content[LENGTH_BYTES:].startswith(f'{{"__metadata__":{{"{key}'.encode())


def export_packed(network: nn.Module, info: ModelInfo, path: str | Path, *, key: str = KEY) -> list[LayerSize]:
    """Write a trained network as a packed file; the network stays as it is.

    Args:
        network: Of the class that the info's recipe names, on any device and in any mode.
        info: From `rebnn_search.export.describe`.
        path: The file; replaced as a whole if it is there.
        key: The name of the header in the metadata.

    Returns:
        The sizes of the layers.

    Raises:
        UserError: If the file cannot be written, weights are no finite numbers, or a binary layer's not two a channel.
    """
    state = fold(network)
    check_values(state.tensors, path)
    parts: dict[str, dict[str, Tensor]] = {}
    for name in state.binary:
        try:
            parts[f"{name}.weight"] = pack(state.tensors[f"{name}.weight"])
        except ValueError as error:
            raise UserError(f"layer {name!r} cannot be packed: {error}") from None
    tensors = {name: tensor for name, tensor in state.tensors.items() if name not in parts}
    tensors |= {f"{name}.{part}": tensor for name, found in parts.items() for part, tensor in found.items()}
    header = Header(info, state.binary)
    write_whole(Path(path), save(tensors, {key: header.seal(header.digest(tensors))}))
    return layer_sizes(state.tensors, parts)


def load_packed(content: bytes, path: Path, *, key: str = KEY) -> tuple[nn.Module, ModelInfo]:
    """Build the network of a packed file, in evaluation mode; its logits are the trained one's to the bit.

    Header and tensors are compared with each other before anything is built, so that memory is bounded by the file: unpacked it
    is at most 32 times larger.

    Raises:
        UserError: If the file is cut short, altered, of another version, no model, or its header and tensors contradict each
            other; the message names it.
    """
    try:
        tensors, metadata = load(content), _metadata(content)
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError, MemoryError, OverflowError) as error:
        raise UserError(f"{path}: is damaged: {brief(str(error))}") from None
    sealed = read_header(metadata, path, key)
    sealed.check(tensors, path)
    info, binary = sealed.header.info, sealed.header.binary
    expected = expected_state(info, len(tensors), str(path))
    check_binary(binary, expected, path)
    check_tensors(tensors, packed_kinds(binary, expected, tensors), expected, path)
    check_parts(binary, tensors, path)
    for name, shape in binary.items():
        weight = f"{name}.weight"
        parts = {part: tensors.pop(f"{weight}.{part}") for part in PARTS if f"{weight}.{part}" in tensors}
        tensors[weight] = unpack(parts, torch.Size(shape))
    return restore(info, FoldedState(tensors, dict(binary)), path), info


def _metadata(content: bytes) -> Any:
    end = LENGTH_BYTES + int.from_bytes(content[:LENGTH_BYTES], "little")
    return json.loads(content[LENGTH_BYTES:end]).get("__metadata__")
