"""The Resilient Binary Neural Network itself: layers, γ-strategies, scaling factors, the step, the statistics. Needs torch alone."""

from rebnn_search.base.registry import Registry
from rebnn_search.method.binarize import sign
from rebnn_search.method.convert import convert
from rebnn_search.method.gamma import GAMMA, GammaStrategy
from rebnn_search.method.layers import BinaryConv2d, BinaryLinear, RPReLU, RSign, binary_layers, set_progress, set_weights
from rebnn_search.method.networks import NETWORKS
from rebnn_search.method.oscillation import OscillationTracker
from rebnn_search.method.resilient import ReBNN
from rebnn_search.method.scaling import SCALE_FLOOR, SCALE_INIT, ScaleInit
from rebnn_search.method.summary import LayerSummary, format_summary, summary
from rebnn_search.method.weights import WEIGHTS, WeightBinarizer

__all__ = [
    "GAMMA",
    "NETWORKS",
    "SCALE_FLOOR",
    "SCALE_INIT",
    "WEIGHTS",
    "BinaryConv2d",
    "BinaryLinear",
    "GammaStrategy",
    "LayerSummary",
    "OscillationTracker",
    "RPReLU",
    "RSign",
    "ReBNN",
    "Registry",
    "ScaleInit",
    "WeightBinarizer",
    "binary_layers",
    "convert",
    "format_summary",
    "set_progress",
    "set_weights",
    "sign",
    "summary",
]
