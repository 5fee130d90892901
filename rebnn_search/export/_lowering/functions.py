"""The operators of functions and of tensors' methods."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from rebnn_search.export._lowering.graph import Graph
from rebnn_search.export._lowering.values import CannotLowerError, Value


def relu(graph: Graph, x: Any, inplace: bool = False) -> Value:
    """max(x, 0)."""
    return Value(graph.ops.relu(graph.made(x)).output(0))


def flatten(graph: Graph, x: Any, start_dim: int = 0, end_dim: int = -1) -> Value:
    """(N, C, ...) as (N, features)."""
    node = graph.made(x)
    if (start_dim, end_dim) != (1, -1):
        raise CannotLowerError(f"it flattens dimensions {start_dim} to {end_dim}")
    return Value(graph.ops.reshape(node, graph.ops.constant(np.array([0, -1])), True).output(0))


def mean(graph: Graph, x: Any, dim: Any, keepdim: bool = False) -> Value:
    """The mean over an image."""
    axes = sorted(axis % 4 for axis in (dim if isinstance(dim, (tuple, list)) else (dim,)))
    if axes != [2, 3] or len(graph.made(x).get_partial_shape()) != 4:
        raise CannotLowerError(f"it takes the mean over {dim}")
    return Value(graph.ops.reduce_mean(graph.made(x), graph.ops.constant(np.array(axes)), keepdim).output(0))


def add(graph: Graph, x: Any, y: Any) -> Value:
    """A sum."""
    return Value(graph.ops.add(graph.made(x), graph.made(y)).output(0))


FUNCTIONS: dict[Any, Callable[..., Any]] = {
    operator.add: add, operator.iadd: add, torch.add: add, torch.flatten: flatten, torch.relu: relu, F.relu: relu,
    torch.mean: mean,
}  # fmt: skip
METHODS: dict[str, Callable[..., Any]] = {
    "add": add, "add_": add, "flatten": flatten, "relu": relu, "relu_": relu, "mean": mean,
}  # fmt: skip
