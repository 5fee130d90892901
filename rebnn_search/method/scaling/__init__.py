"""Scaling-factor inits: what α is before the first step."""

from rebnn_search.base.discovery import import_modules
from rebnn_search.method.scaling._free import ConstantScale, RandnAbs
from rebnn_search.method.scaling._from_weights import FanIn, MeanAbs, MedianAbs
from rebnn_search.method.scaling.base import SCALE_FLOOR, SCALE_INIT, ScaleInit

__all__ = ["SCALE_FLOOR", "SCALE_INIT", "ConstantScale", "FanIn", "MeanAbs", "MedianAbs", "RandnAbs", "ScaleInit"]

import_modules(__name__)
