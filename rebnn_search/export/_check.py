"""Compares the tensors of a model file with the network that its header names, before that network is built."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import NoReturn

import torch
from torch import Tensor

from rebnn_search.config import UserError
from rebnn_search.export._bits import BITS, LOW, PARTS, SCALE
from rebnn_search.export._expected import Expected, Kind
from rebnn_search.export._header import shown

BIT, FLOAT = torch.uint8, torch.float32


def check_binary(binary: Mapping[str, list[int]], expected: Expected, path: Path | str) -> None:
    """See that what a header calls binary is a layer that can be, of the shape that the header says.

    Raises:
        UserError: If not; the message names file and layer.
    """
    for name, shape in binary.items():
        if name not in expected.binary:
            _unfit(expected, path, f"{shown([name])} is no binary layer of it")
        if list(expected.binary[name]) != shape:
            _unfit(expected, path, f"{shown([name])} is said to have shape {_size(shape)}, not {_size(expected.binary[name])}")


def packed_kinds(binary: Iterable[str], expected: Expected, held: Collection[str]) -> dict[str, Kind]:
    """Shape and type of each tensor of a packed file; of the optional ones, of those that the file holds."""
    kinds = dict(expected.tensors)
    for name in binary:
        weight, shape = f"{name}.weight", expected.binary[name]
        del kinds[weight]
        kinds[f"{weight}.{BITS}"] = torch.Size([-(-shape.numel() // 8)]), BIT
        for part in (SCALE, LOW):
            if part == SCALE or f"{weight}.{part}" in held:
                kinds[f"{weight}.{part}"] = torch.Size(shape[:1]), FLOAT
    return kinds


def check_tensors(tensors: Mapping[str, Tensor], kinds: Mapping[str, Kind], expected: Expected, path: Path | str) -> None:
    """See that a file holds the tensors that it must and no others, of finite numbers.

    Args:
        tensors: The file's.
        kinds: Shape and type of each.
        expected: Of the network.
        path: The file, for messages.

    Raises:
        UserError: If not; the message names file and tensor.
    """
    if missing := sorted(kinds.keys() - tensors.keys()):
        _unfit(expected, path, f"the file lacks {shown(missing)}")
    if more := sorted(tensors.keys() - kinds.keys()):
        _unfit(expected, path, f"it has no {shown(more)}, which the file holds")
    for name, (shape, dtype) in kinds.items():
        tensor = tensors[name]
        if tensor.shape != shape:
            _unfit(expected, path, f"{shown([name])} has shape {_size(tensor.shape)}, not {_size(shape)}")
        if tensor.dtype != dtype:
            _unfit(expected, path, f"{shown([name])} is {tensor.dtype}, not {dtype}")
    check_values(tensors, path)


def check_values(tensors: Mapping[str, Tensor], path: Path | str) -> None:
    """See that a state's numbers are such as a network computes with: finite, variances not negative, scaling factors likewise.

    Raises:
        UserError: If not; the message names file and tensor.
    """
    for name, tensor in tensors.items():
        if (tensor.is_floating_point() or tensor.is_complex()) and not tensor.isfinite().all():
            raise UserError(f"{path}: {shown([name])} holds values that are no finite numbers")
        if name.endswith("running_var") and (tensor < 0).any():
            raise UserError(f"{path}: {shown([name])} holds a negative variance")


def check_parts(binary: Iterable[str], tensors: Mapping[str, Tensor], path: Path) -> None:
    """See that the two values of each channel of a packed file are in their order.

    Raises:
        UserError: If not; the message names file and tensor.
    """
    for weight in (f"{name}.weight" for name in binary):
        scale, low = (tensors.get(f"{weight}.{part}") for part in PARTS[1:])
        assert scale is not None
        if (scale < (0 if low is None else low)).any():
            what = "is negative" if low is None else f"is below {shown([f'{weight}.{LOW}'])}"
            raise UserError(f"{path}: {shown([f'{weight}.{SCALE}'])} {what}")


def check_two_values(binary: Iterable[str], tensors: Mapping[str, Tensor], path: Path) -> None:
    """See that unpacked binary weights have two values a channel.

    Raises:
        UserError: If not; the message names file and tensor.
    """
    for weight in (f"{name}.weight" for name in binary):
        flat = tensors[weight].flatten(1)
        high, low = flat.amax(1, keepdim=True), flat.amin(1, keepdim=True)
        if not ((flat == high) | (flat == low)).all():
            raise UserError(f"{path}: {shown([weight])} is said to be binary and has more than two values a channel")


def _size(shape: Iterable[int]) -> str:
    sizes = list(shape)
    return f"({', '.join(str(size)[:20] for size in sizes[:8])}{', ...' if len(sizes) > 8 else ''})"


def _unfit(expected: Expected, path: Path | str, what: str) -> NoReturn:
    raise UserError(f"{path}: does not fit the network of its recipe, {expected.network}: {what}")
