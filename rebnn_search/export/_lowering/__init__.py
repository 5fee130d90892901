"""A network as an OpenVINO graph in which binary layers are computed in whole numbers.

On bits: each sign is a FakeQuantize of two levels, whose result is bits, and a binary layer a BinaryConvolution, which counts where
bits and weights agree. In int8: a sign is ±1 and a binary layer a convolution of ±1, whose operands FakeQuantize marks as whole
numbers: OpenVINO computes it in int8 where the processor is good at that. Both are exact. A layer's scaling factor α and the
BatchNorm after it are one affine map y = a·x + b per channel, made in float64. All else is float32.

OpenVINO's own converter is not used: it knows none of these layers, and takes seconds for each model that is loaded.
"""

from rebnn_search.export._lowering.lower import lower, openvino
from rebnn_search.export._lowering.values import CannotLowerError, Lowered, Signs, Sums

__all__ = ["CannotLowerError", "Lowered", "Signs", "Sums", "lower", "openvino"]
