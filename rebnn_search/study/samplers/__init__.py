"""Samplers by name."""

from rebnn_search.base.discovery import import_modules
from rebnn_search.study.samplers.base import CONTEXT, SAMPLERS, TRAITS, has_trait, mixed, sampler_factory

__all__ = ["CONTEXT", "SAMPLERS", "TRAITS", "has_trait", "mixed", "sampler_factory"]

import_modules(__name__)
