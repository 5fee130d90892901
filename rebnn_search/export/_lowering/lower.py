"""From a network to the whole graph."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from rebnn_search.export._lowering.binary import binary_layer
from rebnn_search.export._lowering.functions import FUNCTIONS, METHODS
from rebnn_search.export._lowering.graph import Graph
from rebnn_search.export._lowering.layers import MODULES
from rebnn_search.export._lowering.values import CannotLowerError, Lowered, Signs, Sums, Value, flat
from rebnn_search.method import RSign
from rebnn_search.method.layers import BinaryLayer

OPSET = "openvino.opset14"
BINARIZING = (RSign, BinaryLayer)
"""Layers that the graph has by name."""


def openvino() -> Any:
    """The package.

    Raises:
        ImportError: If it is not installed.
    """
    # Importing openvino reports the import to its makers where this package is there too; it does without.
    quiet = "openvino_telemetry" not in sys.modules
    if quiet:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    try:
        return importlib.import_module("openvino")
    finally:
        if quiet:
            del sys.modules["openvino_telemetry"]


def lower(network: nn.Module, shape: Sequence[int], sums: Sums = "bits") -> Lowered:
    """Make the graph of a network in evaluation mode.

    Args:
        network: Whose binary layers hold the weights that they use (`rebnn_search.export._network.restore`).
        shape: Of the images, (N, C, H, W): a binary convolution's sizes are fixed.
        sums: What binary layers are computed in where that can be; float32 is for comparison.

    Raises:
        CannotLowerError: If the network does what has no place in it.
        ImportError: If OpenVINO is not installed.
    """
    ov, ops = openvino(), importlib.import_module(OPSET)
    try:
        traced = _Tracer().trace(network)
    except Exception as error:  # a network of the user's may do anything, and fx fails in many ways
        raise CannotLowerError(f"its operators depend on its values ({type(error).__name__})") from None
    images = ops.parameter(list(shape), np.float32, name="images")
    run = _Run(fx.GraphModule(network, traced), Graph(ov, ops), sums)
    run.extra_traceback = False  # the messages are for users
    with torch.no_grad():
        logits = run.run(Value(images.output(0)))
    if not isinstance(logits, Value):
        raise CannotLowerError("it gives no single tensor")
    result = ops.result(run.building.made(logits), name="logits")
    return Lowered(ov.Model([result], [images], "network"), run.building.signs, run.binary, run.real)


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, (*MODULES, *BINARIZING)) or super().is_leaf_module(m, module_qualified_name)


class _Run(fx.Interpreter):
    """Runs a network's graph on `Value` in place of tensors, making an operator for each step."""

    def __init__(self, module: fx.GraphModule, graph: Graph, sums: Sums) -> None:
        super().__init__(module)
        self.building, self.sums = graph, sums  # `graph` is torch's here
        self.binary: list[str] = []
        self.real: dict[str, str] = {}

    def call_module(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The operators of a layer."""
        layer = self.fetch_attr(target)
        assert isinstance(layer, nn.Module)
        how = next((MODULES[kind] for kind in type(layer).__mro__ if kind in MODULES), None)
        if (how is None and not isinstance(layer, BINARIZING)) or kwargs or len(args) != 1:
            raise CannotLowerError(f"layer {target!r} is a {type(layer).__name__}")
        if isinstance(layer, RSign):
            return Signs(str(target), self.building.made(args[0]), flat(layer.shift).astype(np.float32))
        if isinstance(layer, BinaryLayer):
            value, reason = binary_layer(self.building, str(target), layer, args[0], self.sums)
            if reason is None:
                self.binary.append(str(target))
            else:
                self.real[str(target)] = reason
            return value
        assert how is not None
        return how(self.building, layer, args[0])

    def call_function(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The operators of a function."""
        if target not in FUNCTIONS:
            raise CannotLowerError(f"it calls {getattr(target, '__name__', target)}")
        return self._call(FUNCTIONS[target], str(getattr(target, "__name__", target)), args, kwargs)

    def call_method(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The operators of a tensor's method."""
        if target not in METHODS:
            raise CannotLowerError(f"it calls a tensor's {target}")
        return self._call(METHODS[target], str(target), args, kwargs)

    def get_attr(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Not a layer's own tensor: what it is used for is not known."""
        raise CannotLowerError(f"it uses its tensor {target!r} outside of a layer")

    def _call(self, how: Callable[..., Any], name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            return how(self.building, *args, **kwargs)
        except TypeError:  # of another signature
            raise CannotLowerError(f"it calls {name} with other arguments") from None
