"""Compares the graph of an ONNX file with its header, before a runtime makes anything of it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from rebnn_search.config import UserError
from rebnn_search.export._header import shown
from rebnn_search.export._info import ModelInfo

IMAGES, LOGITS = "images", "logits"
OWN_DOMAINS = ("", "ai.onnx")
MOST_ELEMENTS = 2**28
"""Of one value between two operators, for one image: 64 channels of 2048×2048."""


def check_graph(onnx: Any, model: Any, info: ModelInfo, path: Path) -> None:
    """See that a graph maps images of the model to logits of its classes with standard operators and finite numbers of its own.

    Refused is what no network of this program has: loops and branches, functions, operators of other domains, and tensors that lie
    in other files, whose names would be the file's to choose.

    Args:
        onnx: The package.
        model: The parsed file.
        info: Of its header.
        path: The file, for messages.

    Raises:
        UserError: If not; the message names the file.
    """
    graph = model.graph
    if model.functions or graph.sparse_initializer or model.training_info:
        _refuse(path, "has more than one graph of plain tensors")
    for node in graph.node:
        if node.domain not in OWN_DOMAINS:
            _refuse(path, f"has an operator that is not ONNX's own, {shown([f'{node.domain}.{node.op_type}'])}")
        if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
            _refuse(path, f"has graphs within its graph, in {shown([node.op_type])}")
    _check_ends(onnx, graph, info, path)
    for tensor in _tensors(graph):
        _check_tensor(onnx, tensor, path)
    _check_sizes(onnx, model, path)


def _check_ends(onnx: Any, graph: Any, info: ModelInfo, path: Path) -> None:
    stored = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in stored]
    wanted = {
        "input": (inputs, IMAGES, [info.channels, info.image_size, info.image_size]),
        "output": (graph.output, LOGITS, [len(info.classes)]),
    }
    for end, (values, name, sizes) in wanted.items():
        if [value.name for value in values] != [name]:
            _refuse(path, f"must have one {end}, {name!r}, not {shown(value.name for value in values) or 'none'}")
        kind = values[0].type.tensor_type
        found = [dim.dim_value for dim in kind.shape.dim]
        if kind.elem_type != onnx.TensorProto.FLOAT or found != [0, *sizes]:  # the batch is a name, whose value is 0
            _refuse(
                path, f"its {name} have shape {tuple(found)}, the header says (batch, {', '.join(map(str, sizes))}) float32"
            )


def _tensors(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors


def _check_tensor(onnx: Any, tensor: Any, path: Path) -> None:
    if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
        _refuse(path, f"its tensor {shown([tensor.name])} lies in another file")
    try:
        values = onnx.numpy_helper.to_array(tensor)
        finite = values.dtype.kind not in "fc" or bool(np.isfinite(values).all())
    except Exception:  # the package's errors have no common base
        _refuse(path, f"its tensor {shown([tensor.name])} is not of the size or type that it says")
    if not finite:
        _refuse(path, f"its tensor {shown([tensor.name])} holds values that are no finite numbers")


def _check_sizes(onnx: Any, model: Any, path: Path) -> None:
    """Refuse what would take much memory: for one image every value's size is known from the sizes of the tensors."""
    single = onnx.ModelProto()
    single.CopyFrom(model)
    single.graph.ClearField("value_info")
    for value in (*single.graph.input, *single.graph.output):
        if value.name in (IMAGES, LOGITS):
            value.type.tensor_type.shape.dim[0].dim_value = 1
    try:
        found = onnx.shape_inference.infer_shapes(single, strict_mode=True, data_prop=True)
    except Exception:  # as above
        _refuse(path, "its operators do not fit each other")
    for value in found.graph.value_info:
        shape = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        if math.prod(shape) > MOST_ELEMENTS:
            _refuse(path, f"{shown([value.name])} would have {math.prod(shape):,} elements for one image")


def _refuse(path: Path, what: str) -> NoReturn:
    raise UserError(f"{path}: is no model that rebnn_search exported: {what}")
