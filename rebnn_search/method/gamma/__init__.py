"""γ-strategies: how the balanced parameter follows training."""

from rebnn_search.base.discovery import import_modules
from rebnn_search.method.gamma._constant import Constant
from rebnn_search.method.gamma._flip_ratio import FlipRatio
from rebnn_search.method.gamma._flip_rule import FlipRule
from rebnn_search.method.gamma._max_gradient import MaxGradient
from rebnn_search.method.gamma._published import PublishedCode
from rebnn_search.method.gamma.base import GAMMA, GammaStrategy

__all__ = ["GAMMA", "Constant", "FlipRatio", "FlipRule", "GammaStrategy", "MaxGradient", "PublishedCode"]

import_modules(__name__)
