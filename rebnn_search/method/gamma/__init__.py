"""γ-strategies: how the balanced parameter follows training."""

from rebnn_search.method.gamma._base import GAMMA, GammaStrategy
from rebnn_search.method.gamma._constant import Constant, PublishedCode
from rebnn_search.method.gamma._flip_ratio import FlipRatio
from rebnn_search.method.gamma._max_gradient import MaxGradient

__all__ = ["GAMMA", "Constant", "FlipRatio", "GammaStrategy", "MaxGradient", "PublishedCode"]
