"""Pruners by name, and rules by which trials wait."""

from rebnn_search.base.discovery import import_modules
from rebnn_search.study.pruners.base import PRUNERS, Pruner, build_pruner, settle, unjudged

__all__ = ["PRUNERS", "Pruner", "build_pruner", "settle", "unjudged"]

import_modules(__name__)
