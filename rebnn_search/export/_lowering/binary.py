"""Binary layers: counts of equal bits, where bits are what they see."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from rebnn_search.export._bits import SCALE, pack
from rebnn_search.export._lowering.graph import Graph
from rebnn_search.export._lowering.values import CannotLowerError, Signs, Value
from rebnn_search.method import BinaryConv2d, BinaryLinear
from rebnn_search.method.layers import BinaryLayer

BYTE = 8
"""Channels are whole bytes of bits, or OpenVINO's kernel misreads them."""


def binary_layer(graph: Graph, name: str, layer: BinaryLayer, x: Value | Signs, *, bits: bool) -> tuple[Value, str | None]:
    """A binary layer: on bits where it can be, else a real layer on what it is given, and why.

    Raises:
        CannotLowerError: If it is none that is known.
    """
    linear = isinstance(layer, BinaryLinear)
    if not linear and not isinstance(layer, BinaryConv2d):
        raise CannotLowerError(f"layer {name!r} is a {type(layer).__name__}")
    weight = layer.binarized().float()
    reason, parts = _why_real(layer, weight, x) if bits else ("not asked for", None)
    if parts is None:
        if isinstance(layer, BinaryLinear):
            product = graph.ops.matmul(graph.made(x), graph.constant(weight.numpy()), False, True)
            return Value(product.output(0)), reason
        return graph.convolved(graph.made(x), weight, layer.stride, layer.padding), reason
    assert isinstance(x, Signs)
    scale = parts[SCALE].double().numpy()
    ones = ~weight.signbit().numpy()
    stride, padding = (layer.stride, layer.padding) if isinstance(layer, BinaryConv2d) else (1, 0)
    filters = ones if isinstance(layer, BinaryConv2d) else ones[:, :, None, None]
    # Memory of its own: that of an array would not outlive it.
    packed = graph.ov.Tensor(graph.ov.Type.u1, list(filters.shape))
    packed.data.reshape(-1)[:] = np.packbits(filters.reshape(-1), bitorder="little")
    node = graph.ops.binary_convolution(
        graph.bits(x), graph.ov.op.Constant(packed), [stride] * 2, [padding] * 2, [padding] * 2, [1, 1], "xnor-popcount", 0.0
    ).output(0)
    if linear:
        sizes = [int(size.get_length()) for size in node.get_partial_shape()][:2]
        node = graph.ops.reshape(node, graph.ops.constant(np.array(sizes)), False).output(0)
    return Value(node).then(scale), None


def _why_real(layer: BinaryLayer, weight: Tensor, x: Value | Signs) -> tuple[str, dict[str, Tensor] | None]:
    """Why a layer cannot be computed on bits; where it can, its packed parts."""
    if not isinstance(x, Signs):
        return "its input is real", None
    if not layer.binarizer.binary:
        return "its weights are real", None
    if weight.shape[0] % BYTE or weight.shape[1] % BYTE:
        return f"its channels are no multiples of {BYTE}", None
    try:
        parts = pack(weight)
    except ValueError:
        return "its weights have more than two values a channel", None
    if set(parts) != {"bits", SCALE}:
        return "the two values of a channel are not opposite", None
    return "", parts
