"""A network as an OpenVINO graph in which binary layers are binary convolutions.

Each sign is a FakeQuantize of two levels, whose result is bits; a binary layer counts where bits and weights agree, exactly; its
scaling factor α and the BatchNorm after it are one affine map y = a·x + b per channel, made in float64. All else is float32.

OpenVINO's own converter is not used: it knows none of these layers, and takes seconds for each model that is loaded.
"""

from rebnn_search.export._lowering.lower import lower, openvino
from rebnn_search.export._lowering.values import CannotLowerError, Lowered, Signs

__all__ = ["CannotLowerError", "Lowered", "Signs", "lower", "openvino"]
