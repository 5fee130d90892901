"""How latent weights become the weights a layer uses: ReBNN and the baselines beside it."""

from rebnn_search.base.discovery import import_modules
from rebnn_search.method.weights._biper import BiPer
from rebnn_search.method.weights._irnet import IRNet
from rebnn_search.method.weights._reactnet import ReActNet
from rebnn_search.method.weights._rebnn import Resilient
from rebnn_search.method.weights._recu import ReCU
from rebnn_search.method.weights._reste import ReSTE
from rebnn_search.method.weights._sign import PlainSign, Real
from rebnn_search.method.weights.base import WEIGHTS, WeightBinarizer, Weights, make_binarizer

__all__ = [
    "WEIGHTS",
    "BiPer",
    "IRNet",
    "PlainSign",
    "ReActNet",
    "ReCU",
    "ReSTE",
    "Real",
    "Resilient",
    "WeightBinarizer",
    "Weights",
    "make_binarizer",
]

import_modules(__name__)
