"""The operators of layers, but for those that binarize."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import nn

from rebnn_search.export._lowering.functions import flatten, mean, relu
from rebnn_search.export._lowering.graph import Graph
from rebnn_search.export._lowering.values import CannotLowerError, Value, flat, pair
from rebnn_search.method import RPReLU
from rebnn_search.method.convert import ChannelBias

How = Callable[[Graph, Any, Any], Any]
MODULES: dict[type[nn.Module], How] = {}
"""What makes a layer's operators, by its class or a class above it."""


def _lowers(*kinds: type[nn.Module]) -> Callable[[How], How]:
    def enter(how: How) -> How:
        MODULES.update(dict.fromkeys(kinds, how))
        return how

    return enter


@_lowers(nn.Identity, nn.Dropout, nn.Dropout2d)
def _identity(graph: Graph, layer: nn.Module, x: Any) -> Any:
    return x


@_lowers(nn.Conv2d)
def _convolution(graph: Graph, layer: nn.Conv2d, x: Any) -> Value:
    if layer.groups != 1 or layer.padding_mode != "zeros":
        raise CannotLowerError("a convolution in groups, or padded with other than zeros")
    weight = graph.constant(layer.weight.detach().numpy())
    found = graph.convolved(graph.made(x), weight, layer.stride, layer.padding, layer.dilation)
    return found if layer.bias is None else found.then(shift=flat(layer.bias).astype(np.float64))


@_lowers(nn.Linear)
def _linear(graph: Graph, layer: nn.Linear, x: Any) -> Value:
    node = graph.made(x)
    if len(node.get_partial_shape()) != 2:
        raise CannotLowerError("a linear map of other than (N, features)")
    found = Value(graph.ops.matmul(node, graph.constant(layer.weight.detach().numpy()), False, True).output(0))
    return found if layer.bias is None else found.then(shift=flat(layer.bias).astype(np.float64))


@_lowers(nn.BatchNorm1d, nn.BatchNorm2d)
def _norm(graph: Graph, layer: nn.BatchNorm2d, x: Any) -> Value:
    if layer.running_mean is None or layer.running_var is None:
        raise CannotLowerError("a BatchNorm without statistics of its own")
    mean, variance = (flat(tensor).astype(np.float64) for tensor in (layer.running_mean, layer.running_var))
    scale = 1 / np.sqrt(variance + layer.eps)
    if layer.affine:
        scale = scale * flat(layer.weight)
    return graph.value(x).then(scale, (flat(layer.bias) if layer.affine else 0.0) - mean * scale)


@_lowers(ChannelBias)
def _bias(graph: Graph, layer: ChannelBias, x: Any) -> Value:
    return graph.value(x).then(shift=flat(layer.bias).astype(np.float64))


@_lowers(RPReLU)
def _rprelu(graph: Graph, layer: RPReLU, x: Any) -> Value:
    shifts = [flat(shift).astype(np.float64) for shift in (layer.in_shift, layer.out_shift)]
    node = graph.ops.prelu(graph.made(graph.value(x).then(shift=-shifts[0])), graph.constant(flat(layer.slope)))
    return Value(node.output(0)).then(shift=shifts[1])


@_lowers(nn.ReLU)
def _relu_layer(graph: Graph, layer: nn.ReLU, x: Any) -> Value:
    return relu(graph, x)


@_lowers(nn.Flatten)
def _flatten_layer(graph: Graph, layer: nn.Flatten, x: Any) -> Value:
    return flatten(graph, x, layer.start_dim, layer.end_dim)


@_lowers(nn.AvgPool2d)
def _average(graph: Graph, layer: nn.AvgPool2d, x: Any) -> Value:
    stride = layer.kernel_size if layer.stride is None else layer.stride
    kernel, strides, pads = pair(layer.kernel_size, "kernel"), pair(stride, "stride"), pair(layer.padding, "padding")
    if layer.divisor_override is not None or (layer.ceil_mode and any(pads)):
        raise CannotLowerError("an average pool with a divisor of its own, or padded and rounded up")
    # What lies beyond the edge for rounding up counts for nothing; padding does where torch says so.
    exclude = not any(pads) or not layer.count_include_pad
    return Value(graph.ops.avg_pool(graph.made(x), strides, pads, pads, kernel, exclude, _rounding(layer.ceil_mode)).output(0))


@_lowers(nn.MaxPool2d)
def _maximum(graph: Graph, layer: nn.MaxPool2d, x: Any) -> Value:
    kernel, strides = pair(layer.kernel_size, "kernel"), pair(layer.stride, "stride")
    pads, dilations = pair(layer.padding, "padding"), pair(layer.dilation, "dilation")
    if layer.return_indices:
        raise CannotLowerError("a max-pool that returns indices")
    node = graph.ops.max_pool(graph.made(x), strides, dilations, pads, pads, kernel, _rounding(layer.ceil_mode))
    return Value(node.output(0))


@_lowers(nn.AdaptiveAvgPool2d)
def _global_average(graph: Graph, layer: nn.AdaptiveAvgPool2d, x: Any) -> Value:
    if layer.output_size not in (1, (1, 1)):
        raise CannotLowerError(f"an average pool to {layer.output_size}")
    return mean(graph, x, (2, 3), keepdim=True)


def _rounding(up: bool) -> str:
    return "ceil_torch" if up else "floor"
