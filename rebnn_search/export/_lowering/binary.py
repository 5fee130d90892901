"""Binary layers: in whole numbers, where signs are what they see."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from rebnn_search.export._bits import SCALE, pack
from rebnn_search.export._lowering.graph import Graph
from rebnn_search.export._lowering.values import CannotLowerError, Signs, Sums, Value
from rebnn_search.method import BinaryConv2d, BinaryLinear
from rebnn_search.method.layers import BinaryLayer

BYTE = 8
"""Channels are whole bytes of bits, or OpenVINO's kernel misreads them."""


def binary_layer(graph: Graph, name: str, layer: BinaryLayer, x: Value | Signs, sums: Sums) -> tuple[Value, str | None]:
    """A binary layer: in whole numbers where it can be, else a real layer on what it is given, and why.

    Raises:
        CannotLowerError: If it is none that is known.
    """
    if not isinstance(layer, BinaryLinear | BinaryConv2d):
        raise CannotLowerError(f"layer {name!r} is a {type(layer).__name__}")
    weight = layer.binarized().float()
    if sums == "float32":
        return _product(graph, layer, graph.made(x), graph.constant(weight.numpy())), "not asked for"
    reason, parts = _why_real(layer, weight, x, sums)
    if parts is None or not isinstance(x, Signs):
        return _product(graph, layer, graph.made(x), graph.constant(weight.numpy())), reason
    product = _on_bits(graph, layer, x, weight) if sums == "bits" else _in_int8(graph, layer, x, weight)
    return product.then(parts[SCALE].double().numpy()), None


def _product(graph: Graph, layer: BinaryLinear | BinaryConv2d, x: Any, weight: Any) -> Value:
    """The layer's product of operators' outputs."""
    if isinstance(layer, BinaryLinear):
        return Value(graph.ops.matmul(x, weight, False, True).output(0))
    return graph.convolved(x, weight, layer.stride, layer.padding)


def _in_int8(graph: Graph, layer: BinaryLinear | BinaryConv2d, x: Signs, weight: Tensor) -> Value:
    """Of ±1 and ±1, both far from int8's limits: products of two that are added in int16 do not overflow."""
    ones = graph.constant(np.where(weight.signbit().numpy(), -1.0, 1.0))
    low, high = graph.constant(np.float32(-127)), graph.constant(np.float32(127))
    return _product(graph, layer, graph.int8(x), graph.ops.fake_quantize(ones, low, high, low, high, 255).output(0))


def _on_bits(graph: Graph, layer: BinaryLinear | BinaryConv2d, x: Signs, weight: Tensor) -> Value:
    ones = ~weight.signbit().numpy()
    stride, padding = (layer.stride, layer.padding) if isinstance(layer, BinaryConv2d) else (1, 0)
    filters = ones if isinstance(layer, BinaryConv2d) else ones[:, :, None, None]
    # Memory of its own: that of an array would not outlive it.
    packed = graph.ov.Tensor(graph.ov.Type.u1, list(filters.shape))
    packed.data.reshape(-1)[:] = np.packbits(filters.reshape(-1), bitorder="little")
    node = graph.ops.binary_convolution(
        graph.bits(x), graph.ov.op.Constant(packed), [stride] * 2, [padding] * 2, [padding] * 2, [1, 1], "xnor-popcount", 0.0
    ).output(0)
    if isinstance(layer, BinaryLinear):
        sizes = [int(size.get_length()) for size in node.get_partial_shape()][:2]
        node = graph.ops.reshape(node, graph.ops.constant(np.array(sizes)), False).output(0)
    return Value(node)


def _why_real(layer: BinaryLayer, weight: Tensor, x: Value | Signs, sums: Sums) -> tuple[str, dict[str, Tensor] | None]:
    """Why a layer cannot be computed in whole numbers; where it can, its packed parts."""
    if not isinstance(x, Signs):
        return "its input is real", None
    if not layer.binarizer.binary:
        return "its weights are real", None
    if sums == "bits" and (weight.shape[0] % BYTE or weight.shape[1] % BYTE):
        return f"its channels are no multiples of {BYTE}", None
    try:
        parts = pack(weight)
    except ValueError:
        return "its weights have more than two values a channel", None
    if set(parts) != {"bits", SCALE}:
        return "the two values of a channel are not opposite", None
    return "", parts
