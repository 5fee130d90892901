"""The packed format: one safetensors file, one bit for each binary weight.

The tensors are a network's state without its weight binarizers. In place of a binary layer's ``NAME.weight`` stand
``NAME.weight.bits`` and ``NAME.weight.scale`` (`rebnn_search.export._bits`); the rest is float32. The metadata are `_info`'s.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from rebnn_search.config import UserError
from rebnn_search.export._bits import PARTS, pack, unpack
from rebnn_search.export._files import write_whole
from rebnn_search.export._info import DIGEST_KEY, MODEL_KEY, ModelInfo, digest_of, metadata, read_metadata
from rebnn_search.export._network import fold, restore
from rebnn_search.export._sizes import LayerSize, layer_sizes

SHAPES_KEY = "binary"
"""Key of the metadata with the shapes of the binary layers' weights, in JSON by the weights' names."""
LENGTH_BYTES = 8
"""A safetensors file begins with its header's length, little-endian."""


def export_packed(network: nn.Module, info: ModelInfo, path: str | Path) -> list[LayerSize]:
    """Write a trained network as a packed file; the network stays as it is.

    Args:
        network: Of the class that the info's recipe names, on any device and in any mode.
        info: From `rebnn_search.export.describe`.
        path: The file; replaced as a whole if it is there.

    Returns:
        The sizes of the layers.

    Raises:
        UserError: If the file cannot be written, or a binary layer's weights are not two numbers a channel.
    """
    state = fold(network)
    parts: dict[str, dict[str, Tensor]] = {}
    for name in state.binary:
        try:
            parts[f"{name}.weight"] = pack(state.tensors[f"{name}.weight"])
        except ValueError as error:
            raise UserError(f"layer {name!r} cannot be packed: {error}") from None
    shapes = json.dumps({name: list(state.tensors[name].shape) for name in parts})
    tensors = {name: tensor for name, tensor in state.tensors.items() if name not in parts}
    tensors |= {f"{name}.{part}": tensor for name, found in parts.items() for part, tensor in found.items()}
    header = metadata(info, digest_of(info.dump() + shapes, tensors)) | {SHAPES_KEY: shapes}
    write_whole(Path(path), save(tensors, header))
    return layer_sizes(state.tensors, parts)


def is_packed(content: bytes) -> bool:
    """Whether this begins as a safetensors file does."""
    return content[LENGTH_BYTES : LENGTH_BYTES + 1] == b"{"


def load_packed(content: bytes, path: Path) -> tuple[nn.Module, ModelInfo]:
    """Build the network of a packed file, in evaluation mode; its logits are the trained one's to the bit.

    Raises:
        UserError: If the file is cut short, altered, of another version, or no model; the message names it.
    """
    try:
        tensors, header = load(content), _header(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise UserError(f"{path}: is damaged: {error}") from None
    info = read_metadata(header, path)
    shapes = str(header.get(SHAPES_KEY))
    if digest_of(header[MODEL_KEY] + shapes, tensors) != header.get(DIGEST_KEY):
        raise UserError(f"{path}: is damaged: its checksum does not match")
    names = {name: torch.Size(shape) for name, shape in json.loads(shapes).items()}
    for name, shape in names.items():
        tensors[name] = unpack({part: tensors.pop(f"{name}.{part}") for part in PARTS if f"{name}.{part}" in tensors}, shape)
    return restore(info, tensors, [name.removesuffix(".weight") for name in names], path), info


def _header(content: bytes) -> Mapping[str, Any]:
    end = LENGTH_BYTES + int.from_bytes(content[:LENGTH_BYTES], "little")
    found: Mapping[str, Any] = json.loads(content[LENGTH_BYTES:end]).get("__metadata__", {})
    return found
