"""A network as an OpenVINO graph in which binary layers are binary convolutions.

Each sign is a FakeQuantize of two levels, whose result is bits; a binary layer counts where bits and weights agree, exactly; its
scaling factor α and the BatchNorm after it are one affine map y = a·x + b per channel, made in float64. All else is float32.

OpenVINO's own converter is not used: it knows none of these layers, and takes seconds for each model that is loaded.
"""

from __future__ import annotations

import importlib
import operator
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from rebnn_search.export._bits import SCALE, pack
from rebnn_search.method import BinaryConv2d, BinaryLinear, RPReLU, RSign
from rebnn_search.method.convert import ChannelBias
from rebnn_search.method.layers import BinaryLayer

Array = np.ndarray[Any, Any]
OPSET = "openvino.opset14"
BYTE = 8
"""Channels are whole bytes of bits, or OpenVINO's kernel misreads them."""
LEAST = np.finfo(np.float32).tiny
"""Smaller numbers may count as zero, as a processor is set."""


class CannotLowerError(Exception):
    """A network holds what has no place in the graph; the message says what."""


@dataclass
class Value:
    """A float32 value of the graph, and the affine map per channel that is still to be applied to it.

    Attributes:
        node: An output of an operator, (N, C, ...).
        scale: a, (C) float64; None is 1.
        shift: b, (C) float64; None is 0.
    """

    node: Any
    scale: Array | None = None
    shift: Array | None = None
    _made: Any = None

    @property
    def rank(self) -> int:
        """Dimensions, the batch included."""
        return len(self.node.get_partial_shape())

    @property
    def channels(self) -> int:
        """C."""
        return int(self.node.get_partial_shape()[1].get_length())

    def then(self, scale: Array | float = 1.0, shift: Array | float = 0.0) -> Value:
        """The same, scaled and then shifted once more."""
        ones, zeros = np.ones(self.channels), np.zeros(self.channels)
        before = ones if self.scale is None else self.scale, zeros if self.shift is None else self.shift
        return Value(self.node, before[0] * scale, before[1] * scale + shift)


@dataclass
class Signs:
    """sign(x + shift): as bits for a binary layer, as ±1 for any other.

    Attributes:
        name: Of the `RSign`.
        x: The value before.
        shift: (C) float32.
    """

    name: str
    x: Any
    shift: Array
    _made: dict[str, Any] = field(default_factory=dict)

    @property
    def threshold(self) -> Array:
        """(C) float32, the sign is +1 where x is above it: sign(0) = +1, and FakeQuantize's upper level begins above its limit."""
        below = np.nextafter(-self.shift, np.float32(-np.inf))
        return np.where(np.abs(below) < LEAST, -LEAST, below).astype(np.float32)


@dataclass(frozen=True)
class Lowered:
    """A graph from normalised images to logits.

    Attributes:
        model: The OpenVINO model, of a fixed batch size.
        signs: Of each `RSign` that became bits, its name, the output before it and its thresholds.
        binary: Binary layers that compute on bits.
        real: Binary layers that do not, with the reason.
    """

    model: Any
    signs: Sequence[tuple[str, Any, Array]]
    binary: Sequence[str]
    real: Mapping[str, str]


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


def lower(network: nn.Module, shape: Sequence[int], *, bits: bool = True) -> Lowered:
    """Make the graph of a network in evaluation mode.

    Args:
        network: Whose binary layers hold the weights that they use (`rebnn_search.export._network.restore`).
        shape: Of the images, (N, C, H, W): a binary convolution's sizes are fixed.
        bits: Compute binary layers on bits where that can be; else all in float32, for comparison.

    Raises:
        CannotLowerError: If the network does what has no place in it.
        ImportError: If OpenVINO is not installed.
    """
    ov, ops = openvino(), importlib.import_module(OPSET)
    try:
        graph = _Tracer().trace(network)
    except Exception as error:  # a network of the user's may do anything, and fx fails in many ways
        raise CannotLowerError(f"its operators depend on its values ({type(error).__name__})") from None
    images = ops.parameter(list(shape), np.float32, name="images")
    run = _Run(fx.GraphModule(network, graph), ov, ops, bits)
    run.extra_traceback = False  # the messages are for users
    with torch.no_grad():
        logits = run.run(Value(images.output(0)))
    if not isinstance(logits, Value):
        raise CannotLowerError("it gives no single tensor")
    result = ops.result(run.made(logits), name="logits")
    return Lowered(ov.Model([result], [images], "network"), run.signs, run.binary, run.real)


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, LEAVES) or super().is_leaf_module(m, module_qualified_name)


class _Run(fx.Interpreter):
    """Runs a network's graph on `Value` in place of tensors, making an operator for each step."""

    def __init__(self, module: fx.GraphModule, ov: Any, ops: Any, bits: bool) -> None:
        super().__init__(module)
        self.ov, self.ops, self.bits = ov, ops, bits
        self.signs: list[tuple[str, Any, Array]] = []
        self.binary: list[str] = []
        self.real: dict[str, str] = {}

    def call_module(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The operators of a layer."""
        layer = self.fetch_attr(target)
        assert isinstance(layer, nn.Module)
        how = next((MODULES[kind] for kind in type(layer).__mro__ if kind in MODULES), None)
        if how is None or kwargs or len(args) != 1:
            raise CannotLowerError(f"layer {target!r} is a {type(layer).__name__}")
        if isinstance(layer, RSign):
            return Signs(str(target), self.made(args[0]), _flat(layer.shift).astype(np.float32))
        if isinstance(layer, BinaryLayer):
            return self._binary(str(target), layer, args[0])
        return how(self, layer, args[0])

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

    def made(self, value: Any) -> Any:
        """The output of an operator whose value this is."""
        if isinstance(value, Signs):
            return self._floats(value)
        if not isinstance(value, Value):
            raise CannotLowerError("it computes with what is no image")
        if value._made is None:
            node = value.node
            for what, how in ((value.scale, self.ops.multiply), (value.shift, self.ops.add)):
                if (
                    what is not None
                    and not (how is self.ops.multiply and (what == 1).all())
                    and not (how is self.ops.add and (what == 0).all())
                ):
                    node = how(node, self.constant(_shaped(what, value.rank))).output(0)
            value._made = node
        return value._made

    def constant(self, values: Array | np.floating[Any]) -> Any:
        """A float32 constant."""
        return self.ops.constant(np.ascontiguousarray(values, dtype=np.float32))

    def _call(self, how: Callable[..., Any], name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            return how(self, *args, **kwargs)
        except TypeError:  # of another signature
            raise CannotLowerError(f"it calls {name} with other arguments") from None

    def _floats(self, signs: Signs) -> Any:
        if "floats" not in signs._made:
            rank = len(signs.x.get_partial_shape())
            positive = self.ops.greater_equal(signs.x, self.constant(_shaped(-signs.shift, rank)))
            one, other = self.constant(np.float32(1)), self.constant(np.float32(-1))
            signs._made["floats"] = self.ops.select(positive, one, other).output(0)
        return signs._made["floats"]

    def _bits(self, signs: Signs) -> Any:
        if "bits" not in signs._made:
            images = self._as_images(signs.x)
            limit = self.constant(_shaped(signs.threshold, 4))
            zero, one = self.constant(np.float32(0)), self.constant(np.float32(1))
            signs._made["bits"] = self.ops.fake_quantize(images, limit, limit, zero, one, 2).output(0)
            self.signs.append((signs.name, signs.x, signs.threshold))
        return signs._made["bits"]

    def _as_images(self, node: Any) -> Any:
        """(N, C) as (N, C, 1, 1): bits have four dimensions."""
        shape = node.get_partial_shape()
        if len(shape) == 4:
            return node
        sizes = [int(size.get_length()) for size in shape]
        return self.ops.reshape(node, self.ops.constant(np.array([*sizes, 1, 1])), False).output(0)

    def _binary(self, name: str, layer: BinaryLayer, x: Value | Signs) -> Value:
        """A binary layer: on bits where it can be, else a real layer on what it is given."""
        linear = isinstance(layer, BinaryLinear)
        if not linear and not isinstance(layer, BinaryConv2d):
            raise CannotLowerError(f"layer {name!r} is a {type(layer).__name__}")
        weight = layer.binarized().float()
        reason, parts = _why_real(layer, weight, x) if self.bits else ("not asked for", None)
        if parts is None:
            self.real[name] = reason
            if isinstance(layer, BinaryLinear):
                return Value(self.ops.matmul(self.made(x), self.constant(weight.numpy()), False, True).output(0))
            return _convolved(self, self.made(x), weight, layer.stride, layer.padding)
        assert isinstance(x, Signs)
        scale = parts[SCALE].double().numpy()
        bits = ~weight.signbit().numpy()
        stride, padding = (layer.stride, layer.padding) if isinstance(layer, BinaryConv2d) else (1, 0)
        filters = bits if isinstance(layer, BinaryConv2d) else bits[:, :, None, None]
        packed = self.ov.Tensor(
            self.ov.Type.u1, list(filters.shape)
        )  # memory of its own: that of an array would not outlive it
        packed.data.reshape(-1)[:] = np.packbits(filters.reshape(-1), bitorder="little")
        node = self.ops.binary_convolution(
            self._bits(x), self.ov.op.Constant(packed), [stride] * 2, [padding] * 2, [padding] * 2, [1, 1], "xnor-popcount", 0.0
        ).output(0)
        if linear:
            sizes = [int(size.get_length()) for size in node.get_partial_shape()][:2]
            node = self.ops.reshape(node, self.ops.constant(np.array(sizes)), False).output(0)
        self.binary.append(name)
        return Value(node).then(scale)


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


def _flat(tensor: Tensor | None) -> Array:
    assert tensor is not None
    found: Array = tensor.detach().reshape(-1).cpu().numpy()
    return found


def _shaped(values: Array, rank: int) -> Array:
    found: Array = np.reshape(values, (1, -1, *[1] * (rank - 2)))
    return found


def _pair(value: Any, what: str) -> list[int]:
    pair = [value] * 2 if isinstance(value, int) else list(value) if isinstance(value, tuple) else []
    if len(pair) != 2 or not all(type(part) is int for part in pair):
        raise CannotLowerError(f"a {what} of {value!r}")
    return pair


def _convolved(run: _Run, x: Any, weight: Tensor, stride: Any, padding: Any, dilation: Any = 1) -> Value:
    strides, pads, dilations = _pair(stride, "stride"), _pair(padding, "padding"), _pair(dilation, "dilation")
    return Value(run.ops.convolution(x, run.constant(weight.numpy()), strides, pads, pads, dilations).output(0))


L = TypeVar("L", bound=nn.Module)
How = Callable[[_Run, Any, Any], Any]
MODULES: dict[type[nn.Module], How] = {}
"""What makes a layer's operators, by its class or a class above it."""


def _lowers(*kinds: type[nn.Module]) -> Callable[[How], How]:
    def enter(how: How) -> How:
        MODULES.update(dict.fromkeys(kinds, how))
        return how

    return enter


@_lowers(RSign, BinaryLayer)
def _by_name(run: _Run, layer: nn.Module, x: Any) -> Any:
    raise AssertionError("these need their names")


@_lowers(nn.Identity, nn.Dropout, nn.Dropout2d)
def _identity(run: _Run, layer: nn.Module, x: Any) -> Any:
    return x


@_lowers(nn.Conv2d)
def _convolution(run: _Run, layer: nn.Conv2d, x: Any) -> Value:
    if layer.groups != 1 or layer.padding_mode != "zeros":
        raise CannotLowerError("a convolution in groups, or padded with other than zeros")
    found = _convolved(run, run.made(x), layer.weight.detach(), layer.stride, layer.padding, layer.dilation)
    return found if layer.bias is None else found.then(shift=_flat(layer.bias).astype(np.float64))


@_lowers(nn.Linear)
def _linear(run: _Run, layer: nn.Linear, x: Any) -> Value:
    node = run.made(x)
    if len(node.get_partial_shape()) != 2:
        raise CannotLowerError("a linear map of other than (N, features)")
    found = Value(run.ops.matmul(node, run.constant(layer.weight.detach().numpy()), False, True).output(0))
    return found if layer.bias is None else found.then(shift=_flat(layer.bias).astype(np.float64))


@_lowers(nn.BatchNorm1d, nn.BatchNorm2d)
def _norm(run: _Run, layer: nn.BatchNorm2d, x: Any) -> Value:
    if layer.running_mean is None or layer.running_var is None:
        raise CannotLowerError("a BatchNorm without statistics of its own")
    mean, variance = (_flat(tensor).astype(np.float64) for tensor in (layer.running_mean, layer.running_var))
    scale = 1 / np.sqrt(variance + layer.eps)
    if layer.affine:
        scale = scale * _flat(layer.weight)
    return _value(run, x).then(scale, (_flat(layer.bias) if layer.affine else 0.0) - mean * scale)


@_lowers(ChannelBias)
def _bias(run: _Run, layer: ChannelBias, x: Any) -> Value:
    return _value(run, x).then(shift=_flat(layer.bias).astype(np.float64))


@_lowers(RPReLU)
def _rprelu(run: _Run, layer: RPReLU, x: Any) -> Value:
    shifts = [_flat(shift).astype(np.float64) for shift in (layer.in_shift, layer.out_shift)]
    node = run.ops.prelu(run.made(_value(run, x).then(shift=-shifts[0])), run.constant(_flat(layer.slope)))
    return Value(node.output(0)).then(shift=shifts[1])


@_lowers(nn.ReLU)
def _relu_layer(run: _Run, layer: nn.ReLU, x: Any) -> Value:
    return _relu(run, x)


@_lowers(nn.Flatten)
def _flatten_layer(run: _Run, layer: nn.Flatten, x: Any) -> Value:
    return _flatten(run, x, layer.start_dim, layer.end_dim)


@_lowers(nn.AvgPool2d)
def _average(run: _Run, layer: nn.AvgPool2d, x: Any) -> Value:
    stride = layer.kernel_size if layer.stride is None else layer.stride
    kernel, strides, pads = _pair(layer.kernel_size, "kernel"), _pair(stride, "stride"), _pair(layer.padding, "padding")
    if layer.divisor_override is not None or (layer.ceil_mode and any(pads)):
        raise CannotLowerError("an average pool with a divisor of its own, or padded and rounded up")
    # What lies beyond the edge for rounding up counts for nothing; padding does where torch says so.
    exclude = not any(pads) or not layer.count_include_pad
    return Value(run.ops.avg_pool(run.made(x), strides, pads, pads, kernel, exclude, _rounding(layer.ceil_mode)).output(0))


@_lowers(nn.MaxPool2d)
def _maximum(run: _Run, layer: nn.MaxPool2d, x: Any) -> Value:
    kernel, strides = _pair(layer.kernel_size, "kernel"), _pair(layer.stride, "stride")
    pads, dilations = _pair(layer.padding, "padding"), _pair(layer.dilation, "dilation")
    if layer.return_indices:
        raise CannotLowerError("a max-pool that returns indices")
    node = run.ops.max_pool(run.made(x), strides, dilations, pads, pads, kernel, _rounding(layer.ceil_mode))
    return Value(node.output(0))


@_lowers(nn.AdaptiveAvgPool2d)
def _global_average(run: _Run, layer: nn.AdaptiveAvgPool2d, x: Any) -> Value:
    if layer.output_size not in (1, (1, 1)):
        raise CannotLowerError(f"an average pool to {layer.output_size}")
    return _mean(run, x, (2, 3), keepdim=True)


def _rounding(up: bool) -> str:
    return "ceil_torch" if up else "floor"


def _value(run: _Run, x: Any) -> Value:
    return x if isinstance(x, Value) else Value(run.made(x))


def _relu(run: _Run, x: Any, inplace: bool = False) -> Value:
    return Value(run.ops.relu(run.made(x)).output(0))


def _flatten(run: _Run, x: Any, start_dim: int = 0, end_dim: int = -1) -> Value:
    node = run.made(x)
    if (start_dim, end_dim) != (1, -1):
        raise CannotLowerError(f"it flattens dimensions {start_dim} to {end_dim}")
    return Value(run.ops.reshape(node, run.ops.constant(np.array([0, -1])), True).output(0))


def _mean(run: _Run, x: Any, dim: Any, keepdim: bool = False) -> Value:
    axes = sorted(axis % 4 for axis in (dim if isinstance(dim, (tuple, list)) else (dim,)))
    if axes != [2, 3] or len(run.made(x).get_partial_shape()) != 4:
        raise CannotLowerError(f"it takes the mean over {dim}")
    return Value(run.ops.reduce_mean(run.made(x), run.ops.constant(np.array(axes)), keepdim).output(0))


def _add(run: _Run, x: Any, y: Any) -> Value:
    return Value(run.ops.add(run.made(x), run.made(y)).output(0))


FUNCTIONS: dict[Any, Callable[..., Any]] = {
    operator.add: _add, operator.iadd: _add, torch.add: _add, torch.flatten: _flatten, torch.relu: _relu, F.relu: _relu,
    torch.mean: _mean,
}  # fmt: skip
METHODS: dict[str, Callable[..., Any]] = {
    "add": _add, "add_": _add, "flatten": _flatten, "relu": _relu, "relu_": _relu, "mean": _mean,
}  # fmt: skip
LEAVES = tuple(MODULES)
