"""The graph under way: operators for values, constants and signs."""

from __future__ import annotations

from typing import Any

import numpy as np

from rebnn_search.export._lowering.values import Array, CannotLowerError, Signs, Value, pair, shaped


class Graph:
    """Makes operators.

    Args:
        ov: The package ``openvino``.
        ops: Its operators.
    """

    def __init__(self, ov: Any, ops: Any) -> None:
        self.ov, self.ops = ov, ops
        self.signs: list[tuple[str, Any, Array]] = []
        """As of `Lowered`."""

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
                    node = how(node, self.constant(shaped(what, value.rank))).output(0)
            value._made = node
        return value._made

    def constant(self, values: Array | np.floating[Any]) -> Any:
        """A float32 constant."""
        return self.ops.constant(np.ascontiguousarray(values, dtype=np.float32))

    def _floats(self, signs: Signs) -> Any:
        if "floats" not in signs._made:
            rank = len(signs.x.get_partial_shape())
            positive = self.ops.greater_equal(signs.x, self.constant(shaped(-signs.shift, rank)))
            one, other = self.constant(np.float32(1)), self.constant(np.float32(-1))
            signs._made["floats"] = self.ops.select(positive, one, other).output(0)
        return signs._made["floats"]

    def int8(self, signs: Signs) -> Any:
        """The output of an operator that has the signs as ±1 in float32, marked as whole numbers from -128 to 127."""
        if "int8" not in signs._made:
            low, high = self.constant(np.float32(-128)), self.constant(np.float32(127))
            signs._made["int8"] = self.ops.fake_quantize(self._floats(signs), low, high, low, high, 256).output(0)
            self._seen(signs)
        return signs._made["int8"]

    def bits(self, signs: Signs) -> Any:
        """The output of an operator that has the signs as bits, (N, C, H, W)."""
        if "bits" not in signs._made:
            images = self._as_images(signs.x)
            limit = self.constant(shaped(signs.threshold, 4))
            zero, one = self.constant(np.float32(0)), self.constant(np.float32(1))
            signs._made["bits"] = self.ops.fake_quantize(images, limit, limit, zero, one, 2).output(0)
            self._seen(signs)
        return signs._made["bits"]

    def _seen(self, signs: Signs) -> None:
        self.signs.append((signs.name, signs.x, signs.threshold))

    def _as_images(self, node: Any) -> Any:
        """(N, C) as (N, C, 1, 1): bits have four dimensions."""
        shape = node.get_partial_shape()
        if len(shape) == 4:
            return node
        sizes = [int(size.get_length()) for size in shape]
        return self.ops.reshape(node, self.ops.constant(np.array([*sizes, 1, 1])), False).output(0)

    def value(self, x: Any) -> Value:
        """What a layer was given, as a value that an affine map may follow."""
        return x if isinstance(x, Value) else Value(self.made(x))

    def convolved(self, x: Any, weight: Any, stride: Any, padding: Any, dilation: Any = 1) -> Value:
        """A real convolution of operators' outputs."""
        strides, pads, dilations = pair(stride, "stride"), pair(padding, "padding"), pair(dilation, "dilation")
        return Value(self.ops.convolution(x, weight, strides, pads, pads, dilations).output(0))
